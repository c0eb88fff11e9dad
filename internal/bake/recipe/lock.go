package recipe

import "time"

// A Lock is the exact inputs of an image, made by "brickyard lock", never by hand. It is all that a
// bake reads beside the recipe's own files, and it names no mirror: two machines that use different
// mirrors of one archive write the same bytes.
type Lock struct {
	Version  int          `yaml:"lock"`    // of the format: 1
	Request  string       `yaml:"request"` // "sha256:…" of what the resolution was asked for; see Recipe.Request
	Arch     string       `yaml:"arch,omitempty"`
	Epoch    time.Time    `yaml:"epoch"`                           // SOURCE_DATE_EPOCH: the newest Date of the Releases, UTC
	Base     *LockedBase  `yaml:"base,omitempty"`                  // with from.base
	Rootfs   string       `yaml:"rootfs,omitempty" style:"quoted"` // sha256 of the tarball
	Sources  []LockedFrom `yaml:"sources,omitempty"`               // sorted by ID
	Packages []LockedDeb  `yaml:"packages,omitempty"`
	URLs     []LockedURL  `yaml:"urls,omitempty"` // sorted by URL
}

// LockedBase is the parent image.
type LockedBase struct {
	Name   string `yaml:"name"`   // as the recipe says it
	Digest string `yaml:"digest"` // manifest digest
}

// LockedFrom is one Release file that packages were chosen from.
type LockedFrom struct {
	ID         string    `yaml:"id"` // as packages name it: "debian/bookworm-security"
	Origin     string    `yaml:"origin"`
	Suite      string    `yaml:"suite"` // as asked for in the archive's URL
	Components []string  `yaml:"components"`
	Date       time.Time `yaml:"date"`
	SHA256     string    `yaml:"sha256" style:"quoted"` // of the Release text that was signed, 64 hex digits
	SignedBy   []string  `yaml:"signed_by"`             // fingerprints of the primary keys that signed it, upper-case hex
}

// LockedDeb is one package. In the file each stands on one line, sorted by name and architecture.
type LockedDeb struct {
	Name          string `yaml:"name"`
	Version       string `yaml:"version" style:"quoted"`
	Arch          string `yaml:"arch"`
	Size          int64  `yaml:"size"`                  // bytes of the .deb
	SHA256        string `yaml:"sha256" style:"quoted"` // of the .deb, 64 hex digits
	Source        string `yaml:"source"`
	SourceVersion string `yaml:"source_version,omitempty" style:"quoted"` // when it differs from Version
	From          string `yaml:"from"`                                    // ID of a source, or "file"
	Path          string `yaml:"path"`                                    // below the archive's root, or beside the recipe
	Essential     bool   `yaml:"essential,omitempty"`                     // Essential: yes, or needed by one that is
	Asked         bool   `yaml:"asked,omitempty"`                         // the recipe names it
}

// LockedURL is a file from elsewhere.
type LockedURL struct {
	URL    string `yaml:"url"`
	Size   int64  `yaml:"size"`
	SHA256 string `yaml:"sha256" style:"quoted"`
}
