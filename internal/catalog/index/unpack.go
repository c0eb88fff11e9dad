package index

import (
	"bytes"
	"fmt"
	"io"

	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"
)

// Unpack brings the files of an image that the store lacks back from its layers, verified. It makes an image
// from elsewhere, or one whose files were lost, ready to run.
func (c *Catalog) Unpack(r Record) error {
	m, err := c.Manifest(r.Image)
	if err != nil {
		return err
	}
	for i, desc := range m.Layers {
		if i < len(r.Layers) {
			t, err := c.Listing(r, i)
			if err == nil && c.store.HasFiles(t) == nil {
				continue
			}
		}
		in, err := c.OpenLayer(desc)
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
		var buf bytes.Buffer
		_, err = tarball.Read(in, tarball.Limits{}, func(_ string, e *tree.Entry, content io.Reader) error {
			return c.store.AddFile(e, content, &buf)
		})
		in.Close()
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return nil
}
