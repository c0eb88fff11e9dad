package export

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"brickyard/internal/tree"

	"github.com/opencontainers/go-digest"
)

func digestOf(d tree.Digest) digest.Digest { return digest.Digest(d) }

// A hasher hashes what is read through it.
type hasher struct {
	r io.Reader
	h hash.Hash
}

func newHash(r io.Reader) *hasher { return &hasher{r, sha256.New()} }

func (h *hasher) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.h.Write(p[:n])
	return n, err
}

func (h *hasher) digest() tree.Digest { return tree.Digest(fmt.Sprintf("sha256:%x", h.h.Sum(nil))) }
