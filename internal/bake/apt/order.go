package apt

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// hashTableSize is how many buckets apt's table of packages has (APT::Cache-HashTableSize).
const hashTableSize = 196613

// aptHash is the bucket of a name.
func aptHash(name string) uint32 {
	h := uint32(5381)
	for i := range len(name) {
		h = 33*h + uint32(name[i]|0x20)
	}
	return h % hashTableSize
}

// A foreignName is a package of another architecture that something mentions: apt knows of it, and nothing comes of it.
type foreignName struct {
	group string // its name without the architecture
	after int    // how many names there were before
}

// kernelName begins the names of packages, but for those of debug symbols, for which apt makes two packages of its own:
// "$kernel" and "$kernel:$kernel".
var kernelName = regexp.MustCompile(`^(linux|kfreebsd|gnumach)-image-[0-9]+\.`)

// InAptsOrder returns every name in the order in which apt comes across them: by bucket, length and letters. It is seen where
// apt has nothing else to go by (apt-cache dump shows it). A nil stands for a package of apt's that is none here.
func (u *Universe) InAptsOrder() []*Name {
	type slot struct {
		name  *Name // nil: foreign
		group string
		hash  uint32
		made  int // in a group, those made first come first
	}
	slots := make([]slot, 0, len(u.names)+len(u.foreign)+2)
	add := func(n *Name, group string, made int) { slots = append(slots, slot{n, group, aptHash(group), made}) }
	kernel := false
	for _, n := range u.names {
		add(n, n.Name, int(n.ID))
		kernel = kernel || len(n.Versions) > 0 && kernelName.MatchString(n.Name) && !strings.HasSuffix(n.Name, "-dbg")
	}
	for _, f := range u.foreign {
		add(nil, f.group, f.after)
	}
	if kernel {
		add(nil, "$kernel", 0)
		add(nil, "$kernel", 1)
	}
	slices.SortFunc(slots, func(a, b slot) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(len(a.group), len(b.group)), cmp.Compare(a.group, b.group), cmp.Compare(a.made, b.made))
	})
	list := make([]*Name, len(slots))
	for i, s := range slots {
		list[i] = s.name
	}
	return list
}
