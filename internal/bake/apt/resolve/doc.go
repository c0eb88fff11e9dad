// Package resolve picks the packages: from what is asked for to the exact set, which is the one that apt-get
// 2.6 picks on a system with nothing installed.
//
//	resolve.go  Request, Resolve, Result: the way in and out
//	policy.go   which version of a package is its candidate (apt_preferences(5))
//	state.go    what is known while choosing: candidates, choices, whether a dependency is met
//	mark.go     choosing a package and what it needs, as apt's depcache does
//	repair.go   giving up broken choices, as apt's problem resolver does
//	order.go    which of them first, where apt's reason is how its memory lies
//	sweep.go    taking out what nothing needs any more, as apt's autoremover does
//	locked.go   keeping what an earlier lock chose
//	why.go      Result.Why, and errors in words
//
// apt does not search for a solution: it decides in a fixed order, and the order is part of the answer. So there is no
// solver here either. What apt would refuse is an [UnsatisfiableError], though another order might have worked.
// Held against apt in oracle_test.go, on this machine's archive and on random small ones.
package resolve
