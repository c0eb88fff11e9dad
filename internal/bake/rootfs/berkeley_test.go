package rootfs

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"brickyard/internal/tree"
)

// berkeley makes the pages of a hash database: one that describes it, one with data, one that describes a database within.
func berkeley(id, content string) []byte {
	const size = 512
	data := make([]byte, 3*size)
	for _, page := range [][]byte{data, data[2*size:]} {
		binary.LittleEndian.PutUint32(page[berkeleyMagic:], 0x061561)
		binary.LittleEndian.PutUint32(page[berkeleySize:], size)
		page[berkeleyType] = 8
		copy(page[berkeleyID:berkeleyIDEnd], id)
	}
	copy(data[size:], content)
	return data
}

// A database's id is that of its content, whenever and wherever it was made; what is no such database stays.
func TestNameBerkeley(t *testing.T) {
	one, two := berkeley(strings.Repeat("1", 20), "root: admin"), berkeley(strings.Repeat("2", 20), "root: admin")
	other := berkeley(strings.Repeat("1", 20), "root: nobody")
	for _, data := range [][]byte{one, two, other} {
		if !nameBerkeley(data) {
			t.Fatal("not taken for a database")
		}
	}
	if !bytes.Equal(one, two) {
		t.Error("two of the same content differ")
	}
	if bytes.Equal(one[berkeleyID:berkeleyIDEnd], other[berkeleyID:berkeleyIDEnd]) {
		t.Error("two of other content have one id")
	}
	if !bytes.Equal(one[berkeleyID:berkeleyIDEnd], one[2*512+berkeleyID:2*512+berkeleyIDEnd]) {
		t.Error("the database within has another id")
	}
	good := berkeley("x", "y")
	huge := bytes.Clone(good)
	binary.LittleEndian.PutUint32(huge[berkeleySize:], 1<<31)
	for name, data := range map[string][]byte{"nothing": nil, "text": []byte(strings.Repeat("x", 4096)), "cut": good[:1000], "no page size": huge} {
		was := bytes.Clone(data)
		if nameBerkeley(data) || !bytes.Equal(data, was) {
			t.Errorf("%s: taken for a database, or changed", name)
		}
	}
}

// The databases that a program left in a root are named, and only they.
func TestNameDatabases(t *testing.T) {
	b, _ := placedRoot(t)
	layer := tree.Tree{}
	put := func(p string, data []byte) {
		e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: int64(len(data))}
		if err := b.Store.AddFile(&e, bytes.NewReader(data), nil); err != nil {
			t.Fatal(err)
		}
		layer[p] = e
	}
	data := berkeley("chance", "root: admin")
	put("etc/aliases.db", data)
	put("etc/other.db", []byte("text"))
	layer["etc/gone.db"] = tree.Entry{Type: tree.Whiteout}
	was := layer.Clone()
	if err := b.nameDatabases(layer); err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(data)
	nameBerkeley(want)
	if got, err := b.content(layer["etc/aliases.db"]); err != nil || !bytes.Equal(got, want) {
		t.Errorf("aliases.db: %v, %x", err, got)
	}
	if !layer["etc/other.db"].Equal(was["etc/other.db"]) || !layer["etc/gone.db"].Equal(was["etc/gone.db"]) {
		t.Error("others were changed")
	}
}
