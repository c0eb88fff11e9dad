// Package index knows which images there are: their records, their tags, and the questions people ask.
package index

import (
	"time"

	"brickyard/internal/tree"
)

// A Record is what the catalogue knows of an image. It is a blob of its own, beside the image and never inside it: baking
// the same lock again gives the same image and another record. That of an image from elsewhere has what the image says.
type Record struct {
	Image    tree.Digest `json:"image"` // manifest
	Config   tree.Digest `json:"config"`
	Name     string      `json:"name"`             // of the recipe
	Origin   string      `json:"origin,omitempty"` // "" for what was baked here, else OriginPushed
	Arch     string      `json:"arch"`             // GOARCH, as in the OCI config
	Baked    time.Time   `json:"baked"`
	By       string      `json:"by"`              // user@host
	Seconds  float64     `json:"seconds"`         // how long the bake took
	Program  string      `json:"program"`         // brickyard's version
	Recipe   tree.Digest `json:"recipe"`          // blob: the rendered recipe
	Lock     tree.Digest `json:"lock"`            // blob: recipe.lock
	File     string      `json:"file"`            // the recipe's path when it was baked
	Parent   tree.Digest `json:"parent,omitzero"` // manifest of the base image
	ParentAs string      `json:"parent_as,omitempty"`

	Owner     string            `json:"owner,omitempty"`
	Expires   time.Time         `json:"expires,omitzero"`
	Lifecycle string            `json:"lifecycle,omitempty"`
	State     []string          `json:"state,omitempty"`
	Params    map[string]string `json:"params,omitempty"`

	Packages []Package   `json:"packages,omitempty"` // all that are installed, the parent's too, sorted by name
	Layers   []Layer     `json:"layers"`             // lowest first, the parent's first
	Owners   tree.Digest `json:"owners,omitzero"`    // blob: which packages brought a path, see EncodeOwners
	Places   []Place     `json:"places,omitempty"`   // paths that the recipe put there
	Removed  []Removed   `json:"removed,omitempty"`  // what slim took away
	Cleaned  []Cleaned   `json:"cleaned,omitempty"`  // what differs from run to run and was taken away
	Lint     []string    `json:"lint,omitempty"`     // warnings

	Unconfigured []string `json:"unconfigured,omitempty"` // packages whose maintainer scripts did not run
}

// OriginPushed is the origin of what somebody pushed or imported.
const OriginPushed = "pushed"

// A Package is one installed package.
type Package struct {
	Name          string `json:"name"`
	Version       string `json:"version"`
	Arch          string `json:"arch"`
	Source        string `json:"source"`
	SourceVersion string `json:"source_version"`
	From          string `json:"from"`   // source's ID, as "debian/bookworm-security", or "file"
	Path          string `json:"path"`   // below the archive's root
	SHA256        string `json:"sha256"` // of the .deb
	Asked         bool   `json:"asked,omitempty"`
}

// The kinds of layers.
const (
	LayerPackages = "packages" // files of one source package, or of several small ones joined
	LayerScripts  = "scripts"  // what maintainer scripts did
	LayerRecipe   = "recipe"   // what the recipe adds
	LayerRootfs   = "rootfs"   // a tarball
	LayerOther    = "other"    // of an image that was not baked here
)

// A Layer is one layer of an image.
type Layer struct {
	DiffID   tree.Digest `json:"diff_id"`
	Digest   tree.Digest `json:"digest"`        // of the compressed blob
	Size     int64       `json:"size"`          // bytes of the compressed blob
	Tree     tree.Digest `json:"tree,omitzero"` // blob: its listing, see tree.Encode; "" until somebody asks, of what came from elsewhere
	Kind     string      `json:"kind"`
	Packages []string    `json:"packages,omitempty"` // binary packages whose files are here, "name version"
}

// A Place says which line of the recipe put a path there. It holds for all below it, unless another
// Place is nearer.
type Place struct {
	Path string `json:"path"`
	What string `json:"what"` // "files[2]", "run[0]"
	Line int    `json:"line"` // in the recipe's file
}

// Removed counts what one kind of slim took away.
type Removed struct {
	Kind  string      `json:"kind"`
	Files int         `json:"files"`
	Bytes int64       `json:"bytes"`
	Tree  tree.Digest `json:"tree"` // blob: listing of what is gone
}

// Cleaned is one thing that differs from run to run.
type Cleaned struct {
	Path string `json:"path"`
	Why  string `json:"why"`
	How  string `json:"how"` // "removed", "emptied", "rewritten"
}
