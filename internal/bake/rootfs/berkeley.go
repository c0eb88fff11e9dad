package rootfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"

	"brickyard/internal/tree"
)

// nameDatabases gives Berkeley databases that programs made, as postfix's /etc/aliases.db, ids that are made of their content.
func (b *Builder) nameDatabases(layer tree.Tree) error {
	var errs []error
	for p, e := range layer {
		if e.Type == tree.Regular && e.Hard == "" && e.Digest != "" && strings.HasSuffix(p, ".db") {
			errs = append(errs, b.nameDatabase(layer, p))
		}
	}
	return errors.Join(errs...)
}

func (b *Builder) nameDatabase(layer tree.Tree, p string) error {
	e := layer[p]
	data, err := b.content(e)
	if err != nil || !nameBerkeley(data) {
		return err
	}
	if err := b.Store.AddFile(&e, bytes.NewReader(data), nil); err != nil {
		return err
	}
	layer[p] = e
	return nil
}

// The fields of the page that describes a Berkeley database (its source: DBMETA in dbinc/db_page.h). The id is made of
// the file's inode and device, the time and a random number, and only has to be another for another file.
const (
	berkeleyMagic, berkeleySize, berkeleyType = 12, 20, 25
	berkeleyID, berkeleyIDEnd                 = 52, 72
	berkeleyMeta                              = 72 // bytes of them
)

// nameBerkeley sets the id of a hash or tree database to one that is made of its content, or returns false.
func nameBerkeley(data []byte) bool {
	if !describesBerkeley(data) {
		return false
	}
	size := int(binary.LittleEndian.Uint32(data[berkeleySize:]))
	if size < 512 || size > 64<<10 || len(data)%size != 0 { // what the format allows
		return false
	}
	old := bytes.Clone(data[berkeleyID:berkeleyIDEnd])
	var ids [][]byte // databases within have it, too
	for page := data; len(page) > 0; page = page[size:] {
		if id := page[berkeleyID:berkeleyIDEnd]; describesBerkeley(page) && bytes.Equal(id, old) {
			clear(id)
			ids = append(ids, id)
		}
	}
	sum := sha256.Sum256(data)
	for _, id := range ids {
		copy(id, sum[:])
	}
	return true
}

// describesBerkeley says whether a page begins like one that describes a hash or a tree of a little-endian machine.
func describesBerkeley(page []byte) bool {
	const hash, tree, hashMeta, treeMeta = 0x061561, 0x053162, 8, 9
	if len(page) < berkeleyMeta {
		return false
	}
	magic, kind := binary.LittleEndian.Uint32(page[berkeleyMagic:]), page[berkeleyType]
	return magic == hash && kind == hashMeta || magic == tree && kind == treeMeta
}
