package resolve

import (
	"cmp"
	"slices"

	"brickyard/internal/bake/apt"
)

// ranked is one entry of the list that repair goes through. name is nil for packages that only apt has.
type ranked struct {
	name  *apt.Name
	score int
}

// sortLikeApt sorts names by score, the highest first. apt's own sort is that of the C++ library that it is built with,
// which leaves names of one score neither as they were nor in any other order that means something. Yet which of two broken
// packages is looked at first decides which one stays, so it is done just so here: parts of more than 16 are split
// by the median of three, what is left is sorted by insertion. (With that many names of one score, the splits are even,
// and the library never turns to its heap.)
func sortLikeApt(names []*apt.Name, score map[*apt.Name]int) []*apt.Name {
	list := make([]ranked, len(names))
	for i, n := range names {
		list[i] = ranked{n, score[n]}
	}
	split(list)
	// Sorting by insertion is stable, so that any stable sort comes to the same.
	slices.SortStableFunc(list, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
	sorted := make([]*apt.Name, 0, len(names))
	for _, r := range list {
		if r.name != nil {
			sorted = append(sorted, r.name)
		}
	}
	return sorted
}

// smallest is the length up to which a part is not split.
const smallest = 16

// split divides the list into parts, of which each has higher scores than the next.
func split(list []ranked) {
	for len(list) > smallest {
		pivotToFront(list)
		pivot := list[0].score
		i, j := 1, len(list)
		for {
			for list[i].score > pivot {
				i++
			}
			j--
			for pivot > list[j].score {
				j--
			}
			if i >= j {
				break
			}
			list[i], list[j] = list[j], list[i]
			i++
		}
		split(list[i:])
		list = list[:i]
	}
}

// pivotToFront swaps the first with the median of the second, the middle and the last.
func pivotToFront(list []ranked) {
	a, b, c := 1, len(list)/2, len(list)-1
	before := func(i, j int) bool { return list[i].score > list[j].score }
	if !before(a, b) {
		a, b = b, a // now a is before b, or they are equal and b was first
	}
	median := a
	switch {
	case before(b, c):
		median = b
	case before(a, c):
		median = c
	}
	list[0], list[median] = list[median], list[0]
}
