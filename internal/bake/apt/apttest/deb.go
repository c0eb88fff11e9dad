package apttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A Member is one member of an ar archive.
type Member struct {
	Name string
	Data []byte
	Size string // what the header says in place of len(Data), for hostile archives
}

// Ar returns an ar archive (deb(5)) of the members as they are given.
func Ar(members ...Member) []byte {
	b := []byte("!<arch>\n")
	for _, m := range members {
		size := or(m.Size, fmt.Sprint(len(m.Data)))
		b = fmt.Appendf(b, "%-16s%-12d%-6d%-6d%-8s%-10s`\n", m.Name, Epoch, 0, 0, "100644", size)
		b = append(b, m.Data...)
		if len(m.Data)%2 == 1 {
			b = append(b, '\n')
		}
	}
	return b
}

// Tar returns a tar archive of the files as they are given: nothing is added, sorted or checked.
func Tar(files ...File) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		if err := w.WriteHeader(f.header()); err != nil {
			panic(fmt.Sprintf("apttest: %s: %v", f.Path, err))
		}
		if _, err := w.Write([]byte(f.body())); err != nil {
			panic(fmt.Sprintf("apttest: %s: %v", f.Path, err))
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("apttest: %v", err))
	}
	return b.Bytes()
}

func (f File) kind() Type {
	switch {
	case f.Type != 0:
		return f.Type
	case f.Link != "":
		return Link
	case strings.HasSuffix(f.Path, "/"):
		return Dir
	}
	return Regular
}

func (f File) body() string {
	if f.kind() == Regular {
		return f.Content
	}
	return ""
}

func (f File) header() *tar.Header {
	h := &tar.Header{
		Typeflag: byte(f.kind()),
		Name:     f.name(),
		Linkname: f.Link,
		Size:     int64(len(f.body())),
		Mode:     f.mode(),
		Uid:      f.UID,
		Gid:      f.GID,
		ModTime:  time.Unix(f.MTime, 0),
		Devmajor: f.Major,
		Devminor: f.Minor,
		Format:   tar.FormatGNU,
	}
	if f.MTime == 0 {
		h.ModTime = time.Unix(Epoch, 0)
	}
	if f.kind() == HardLink && f.Raw == "" {
		h.Linkname = "./" + clean(f.Link)
	}
	if len(f.Xattrs) > 0 {
		h.Format = tar.FormatPAX
		h.PAXRecords = make(map[string]string, len(f.Xattrs))
		for name, value := range f.Xattrs {
			h.PAXRecords["SCHILY.xattr."+name] = value
		}
	}
	return h
}

func (f File) name() string {
	switch {
	case f.Raw != "":
		return f.Raw
	case f.kind() == Dir:
		return "./" + clean(f.Path) + "/"
	}
	return "./" + clean(f.Path)
}

func (f File) mode() int64 {
	switch {
	case f.Mode != 0:
		return f.Mode
	case f.kind() == Dir:
		return 0o755
	case f.kind() == Link:
		return 0o777
	}
	return 0o644
}

// RawHeader returns one 512-byte ustar header block with the fields exactly as they are given, its checksum right.
// Size is the text of the size field, at most 12 bytes ("77777777777", "-1").
func RawHeader(name string, kind Type, size, link string) []byte {
	b := make([]byte, 512)
	copy(b[0:100], name)
	copy(b[100:], "0000644\x000000000\x000000000\x00")
	copy(b[124:136], size)
	copy(b[136:], "14554040000\x00")
	b[156] = byte(kind)
	copy(b[157:257], link)
	copy(b[257:], "ustar\x0000")
	return Checksum(b)
}

// Checksum puts the right checksum into a 512-byte tar header block, and returns it.
func Checksum(header []byte) []byte {
	copy(header[148:], "        ")
	sum := 0
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:], fmt.Sprintf("%06o\x00 ", sum))
	return header
}

// suffix returns what a member's name has after ".tar".
func suffix(compression string) string {
	switch compression {
	case "none":
		return ""
	case "gzip":
		return ".gz"
	case "xz":
		return ".xz"
	case "zstd":
		return ".zst"
	}
	panic(fmt.Sprintf("apttest: unknown compression %q", compression))
}

// Compress returns data in the format xz, gzip, zstd or none. xz and gzip only wrap it, so that the bytes
// are the same whatever library or Go version made them.
func Compress(compression string, data []byte) []byte {
	switch compression {
	case "none":
		return data
	case "gzip":
		return gzipped(data)
	case "xz":
		return xzStored(data)
	case "zstd":
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(fmt.Sprintf("apttest: zstd: %v", err))
		}
		return w.EncodeAll(data, nil)
	}
	panic(fmt.Sprintf("apttest: unknown compression %q", compression))
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	if err != nil {
		panic(fmt.Sprintf("apttest: gzip: %v", err))
	}
	if _, err := w.Write(data); err != nil {
		panic(fmt.Sprintf("apttest: gzip: %v", err))
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("apttest: gzip: %v", err))
	}
	return b.Bytes()
}

// xzStored needs a dictionary of 2^16 bytes: what one uncompressed chunk has.
func xzStored(data []byte) []byte { return XzDict(8, data) }

// XzDict returns data as an .xz file of one block whose LZMA2 chunks are all uncompressed (The .xz File Format
// 1.2.1, sections 2 to 4), which asks for a dictionary of the size that bits stands for (section 5.3.1):
// 40 is 4 GiB.
func XzDict(bits byte, data []byte) []byte {
	const (
		checkCRC32 = 0x01
		lzma2      = 0x21
	)
	flags := []byte{0, checkCRC32}
	out := append([]byte("\xfd7zXZ\x00"), flags...)
	out = appendCRC(out, flags)

	block := []byte{2, 0, lzma2, 1, bits, 0, 0, 0} // header size (2+1)*4, one filter, padding
	block = appendCRC(block, block)
	head := len(block)
	for first, rest := true, data; len(rest) > 0; first = false {
		n := min(len(rest), 1<<16)
		control := byte(2) // uncompressed, the dictionary goes on
		if first {
			control = 1 // uncompressed, the dictionary is reset
		}
		block = append(block, control, byte((n-1)>>8), byte(n-1))
		block = append(block, rest[:n]...)
		rest = rest[n:]
	}
	block = append(block, 0)
	unpadded := len(block) + 4 // and the check
	for (len(block)-head)%4 != 0 {
		block = append(block, 0)
	}
	out = append(out, appendCRC(block, data)...)

	index := []byte{0, 1}
	index = binary.AppendUvarint(index, uint64(unpadded))
	index = binary.AppendUvarint(index, uint64(len(data)))
	for len(index)%4 != 0 {
		index = append(index, 0)
	}
	index = appendCRC(index, index)
	out = append(out, index...)

	foot := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	foot = append(foot, flags...)
	out = appendCRC(out, foot)
	out = append(out, foot...)
	return append(out, 'Y', 'Z')
}

func appendCRC(b, of []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(of))
}
