// Package apt reads Debian archives: from apt's configuration on a host to verified package indexes in memory,
// and from a package to its .deb on disk.
//
//	host.go      HostSources: which archives and keys the host's apt names (sources.list(5))
//	options.go   what an entry of theirs may say besides
//	network.go   the proxies and logins of the host's apt
//	select.go    Host.Select, NewSource: the sources that a recipe asks for
//	keys.go      Keyring: OpenPGP keys, and what one must have signed to be believed
//	release.go   Release: a verified InRelease or Release file
//	client.go    Client: HTTP and file access with stall timeout, retries, redirects
//	download.go  Client.Download: one file to disk, resumed, verified
//	fetch.go     Load: sources → releases → indexes by hash → Universe
//	universe.go  Universe: every package of some sources, compact
//	order.go     Universe.InAptsOrder: all names as apt comes across them
//
// Nothing here trusts an unsigned byte, or reads the environment, but that apt-config does, which is asked for apt's
// configuration. Deciding which packages to take is package resolve's. Formats: sources.list(5), apt_preferences(5),
// wiki.debian.org/DebianRepository/Format.
package apt
