package resolve

import "brickyard/internal/bake/apt"

// sweep takes out what was chosen on the way to something that was given up again, as apt's autoremover does with
// packages that are new: all that can't be reached by met needs from what was asked for, is protected or essential.
// Recommends hold a package even where they don't bring one in.
func (s *solver) sweep() {
	needed := make(map[*apt.Name]bool)
	var queue []*apt.Name
	need := func(n *apt.Name) {
		if !needed[n] {
			needed[n] = true
			queue = append(queue, n)
		}
	}
	for n := range s.chosen {
		if st := s.state(n); !st.automatic || st.protected || n.Essential || n.Protected {
			need(n)
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, d := range s.needsOf(s.state(n).chosen) {
			if !d.negative {
				s.eachMeeting(n, d, func(v *apt.Package) { need(v.Of) })
			}
		}
	}
	for n := range s.chosen {
		if !needed[n] {
			delete(s.chosen, n)
			s.state(n).chosen = nil
			s.state(n).install = false
		}
	}
}
