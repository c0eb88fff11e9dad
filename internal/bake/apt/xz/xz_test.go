package xz

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	other "github.com/mikelolasagasti/xz"

	"brickyard/internal/bake/apt/apttest"
)

const maxDict = 64 << 20

// pack is what the xz program makes of data.
func pack(tb testing.TB, data []byte, args ...string) []byte {
	tb.Helper()
	if _, err := exec.LookPath("xz"); err != nil {
		tb.Skip("no xz program to compare with")
	}
	cmd := exec.Command("xz", append([]string{"-zc", "--threads=1"}, args...)...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("xz %v: %v", args, err)
	}
	return out
}

func unpack(file []byte) ([]byte, error) {
	z := NewReader(maxDict)
	z.Reset(bytes.NewReader(file))
	return io.ReadAll(z)
}

// libraryUnpack is for comparison.
func libraryUnpack(file []byte) ([]byte, error) {
	z, err := other.NewReader(bytes.NewReader(file), maxDict)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// prose is n bytes of words from a small stock, so that there are matches of all lengths and distances, and numbers.
func prose(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	words := make([][]byte, 4000)
	for i := range words {
		words[i] = noise(40)[:1+r.IntN(20)]
		for j := range words[i] {
			words[i][j] = "etaoinshrdlu \n\x00\x7f"[r.IntN(16)]
		}
	}
	var b bytes.Buffer
	for b.Len() < n {
		b.Write(words[int(4000*r.Float64()*r.Float64())])
		switch r.IntN(20) {
		case 0:
			var num [4]byte
			binary.LittleEndian.PutUint32(num[:], r.Uint32N(1<<20))
			b.Write(num[:])
		case 1:
			b.Write(bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(400)))
		case 2:
			from := r.IntN(b.Len())
			b.Write(slices.Clone(b.Bytes()[from:min(b.Len(), from+r.IntN(2000))]))
		}
	}
	return b.Bytes()[:n]
}

func TestReader(t *testing.T) {
	text := prose(400 << 10)
	mixed := slices.Concat(text[:100<<10], noise(300<<10), make([]byte, 3<<20), text)
	for _, tt := range []struct {
		name string
		data []byte
		args string
	}{
		{"empty", nil, ""},
		{"a byte", []byte("x"), ""},
		{"zeros", make([]byte, 5<<20), ""},
		{"noise", noise(200 << 10), ""},
		{"mixed", mixed, ""},
		{"preset 0", text, "-0"},
		{"preset 1", text, "-1"},
		{"preset 2", text, "-2"},
		{"preset 3", text, "-3"},
		{"preset 4", text, "-4"},
		{"preset 5", text, "-5"},
		{"preset 6", text, "-6"},
		{"preset 7", text, "-7"},
		{"preset 8", text, "-8"},
		{"preset 9", text, "-9"},
		{"preset 0e", text, "-0e"},
		{"preset 3e", text, "-3e"},
		{"preset 6e", text, "-6e"},
		{"preset 9e", text, "-9e"},
		{"no check", text, "--check=none"},
		{"CRC32", text, "--check=crc32"},
		{"CRC64", text, "--check=crc64"},
		{"SHA-256", text, "--check=sha256"},
		{"blocks", text, "--block-size=50000"},
		{"blocks with sizes", text, "--block-size=300000 --threads=2"},
		{"blocks of noise and zeros", mixed, "--block-size=100000"},
		{"the window goes round", mixed, "--lzma2=dict=4KiB"},
		{"it goes round at an odd place", mixed, "--lzma2=dict=70001"},
		{"it grows", slices.Concat(noise(1<<20), mixed, noise(1<<20)), "--lzma2=dict=8MiB"},
		{"it grows and goes round", slices.Concat(noise(1<<20), mixed, noise(1<<20)), "--lzma2=dict=1MiB"},
		{"literals by position", text, "--lzma2=lc=0,lp=4,pb=0"},
		{"literals by the byte before", text, "--lzma2=lc=4,lp=0,pb=4"},
		{"literals by both", text, "--lzma2=lc=2,lp=2,pb=1"},
		{"literals by nothing", text, "--lzma2=lc=0,lp=0,pb=0"},
		{"short matches", text, "--lzma2=nice=4,mf=hc3,mode=fast"},
		{"filter for x86", text, "--x86 --lzma2"},
		{"filter for differences", text, "--delta=dist=4 --lzma2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := pack(t, tt.data, strings.Fields(tt.args)...)
			if got, err := unpack(file); err != nil || !bytes.Equal(got, tt.data) {
				t.Errorf("unpack: %v, %d bytes, want %d", err, len(got), len(tt.data))
			}
		})
	}
}

func TestWaysToRead(t *testing.T) {
	want := prose(200 << 10)
	file := pack(t, want, "--block-size=90000")
	z := NewReader(maxDict)

	z.Reset(iotest.OneByteReader(bytes.NewReader(file)))
	if err := iotest.TestReader(z, want); err != nil {
		t.Error(err)
	}
	z.Reset(iotest.DataErrReader(bytes.NewReader(file)))
	var all bytes.Buffer
	if n, err := z.WriteTo(&all); err != nil || n != int64(len(want)) || !bytes.Equal(all.Bytes(), want) {
		t.Errorf("WriteTo: %d bytes of %d, %v", n, len(want), err)
	}
	z.Reset(iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(file))))
	if _, err := io.ReadAll(z); err != iotest.ErrTimeout {
		t.Errorf("of a file that can't be read: %v, want %v", err, iotest.ErrTimeout)
	}
	if _, err := z.Read(make([]byte, 1)); err != iotest.ErrTimeout {
		t.Errorf("again: %v, want %v", err, iotest.ErrTimeout)
	}
}

// After whatever was read, and however much of it, the next file is read as if it were the first.
func TestReset(t *testing.T) {
	text := prose(100 << 10)
	files := [][]byte{
		pack(t, text), pack(t, text, "--check=none", "--lzma2=dict=4KiB,pb=0"), pack(t, noise(70<<10)), pack(t, nil),
		pack(t, text, "--x86", "--lzma2"), pack(t, text)[:9000], []byte("no .xz file"),
	}
	z := NewReader(maxDict)
	for i, first := range files {
		for j, second := range files {
			z.Reset(bytes.NewReader(first))
			if _, err := io.ReadFull(z, make([]byte, 3000*j)); err == nil && i == len(files)-1 && j > 0 {
				t.Errorf("file %d was read", i)
			}
			z.Reset(nil)
			z.Reset(bytes.NewReader(second))
			got, err := io.ReadAll(z)
			want, wantErr := unpack(second)
			if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("file %d after %d: %d bytes, %v, want %d, %v", j, i, len(got), err, len(want), wantErr)
			}
		}
	}
}

func TestStreams(t *testing.T) {
	a, b, empty := pack(t, []byte("one ")), pack(t, []byte("two"), "--check=sha256"), pack(t, nil)
	zeros := make([]byte, 8)
	for _, tt := range []struct {
		name string
		file []byte
		want string
		ok   bool
	}{
		{"two", slices.Concat(a, b), "one two", true},
		{"empty ones", slices.Concat(empty, a, empty, b, empty), "one two", true},
		{"padding", slices.Concat(a, zeros, b, zeros[:4]), "one two", true},
		{"padding of three bytes", slices.Concat(a, zeros[:3], b), "one ", false},
		{"padding of three bytes at the end", slices.Concat(a, zeros[:3]), "one ", false},
		{"padding in front", slices.Concat(zeros, a), "", false},
		{"something else", slices.Concat(a, []byte("something else")), "one ", false},
		{"a piece of the next", slices.Concat(a, b[:12]), "one ", false},
		{"another's footer", slices.Concat(a[:len(a)-12], b[len(b)-12:]), "one ", false},
		{"another's index", slices.Concat(a[:len(a)-20], empty[12:]), "one ", false},
		{"nothing", nil, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := unpack(tt.file)
			if string(got) != tt.want || (err == nil) != tt.ok {
				t.Errorf("%q, %v, want %q, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestDamage(t *testing.T) {
	want := slices.Concat(prose(1500), noise(40), prose(900))
	for _, args := range []string{"--check=crc32", "--check=crc64", "--check=sha256", "--block-size=700"} {
		t.Run(args, func(t *testing.T) {
			file := pack(t, want, args)
			z := NewReader(maxDict)
			for n := range file {
				z.Reset(bytes.NewReader(file[:n]))
				got, err := io.ReadAll(z)
				if err != io.ErrUnexpectedEOF || !bytes.HasPrefix(want, got) {
					t.Errorf("cut to %d bytes of %d: %d bytes, %v, want %v", n, len(file), len(got), err, io.ErrUnexpectedEOF)
				}
			}
			for i := range 8 * len(file) {
				file[i/8] ^= 1 << (i % 8)
				z.Reset(bytes.NewReader(file))
				if got, err := io.ReadAll(z); err == nil {
					t.Errorf("bit %d of byte %d: no error, same content %v", i%8, i/8, bytes.Equal(got, want))
				}
				file[i/8] ^= 1 << (i % 8)
			}
		})
	}
}

// Without a check nobody can tell wrong content; but it ends.
func TestDamageUnchecked(t *testing.T) {
	file := pack(t, prose(3000), "--check=none", "--lzma2=dict=4KiB")
	z := NewReader(maxDict)
	for i := range 8 * len(file) {
		file[i/8] ^= 1 << (i % 8)
		z.Reset(bytes.NewReader(file))
		got, err := io.ReadAll(z)
		if want, libraryErr := libraryUnpack(file); err == nil && libraryErr == nil && !bytes.Equal(got, want) {
			t.Errorf("bit %d of byte %d: other content than the library's", i%8, i/8)
		}
		file[i/8] ^= 1 << (i % 8)
	}
}

func TestDictionary(t *testing.T) {
	for _, tt := range []struct {
		name string
		bits byte
		max  int
		want error
	}{
		{"of 64 MiB", 28, 64 << 20, nil},
		{"of 96 MiB", 29, 64 << 20, ErrMemory},
		{"of 4 GiB", 40, 64 << 20, ErrMemory},
		{"of 4 GiB, allowed", 40, 1<<32 - 1, nil},
		{"of a size that isn't defined", 41, 1<<32 - 1, errOptions},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			z := NewReader(tt.max)
			z.Reset(bytes.NewReader(apttest.XzDict(tt.bits, []byte("content"))))
			got, err := io.ReadAll(z)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tt.want) || err == nil && string(got) != "content" {
				t.Errorf("%q, %v, want %v", got, err, tt.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
				t.Errorf("%d bytes were allocated for 7 bytes of content", n)
			}
		})
	}
	filtered := pack(t, []byte("content"), "--delta", "--lzma2=dict=8MiB")
	z := NewReader(1 << 20)
	z.Reset(bytes.NewReader(filtered))
	if _, err := io.ReadAll(z); err != ErrMemory {
		t.Errorf("with a filter: %v, want %v", err, ErrMemory)
	}
}

// A distance from before the dictionary's reset, or of more than its size, is not content of somebody else's file.
func TestBeforeTheBeginning(t *testing.T) {
	file := pack(t, prose(20<<10), "--check=none", "--lzma2=dict=1MiB")
	small := slices.Clone(file)
	small[16] = 0 // the block header's size of the dictionary: 4 KiB
	binary.LittleEndian.PutUint32(small[20:], crc32.ChecksumIEEE(small[12:20]))
	if got, err := unpack(small); err != errData {
		t.Errorf("distances of more than the dictionary: %d bytes, %v, want %v", len(got), err, errData)
	}
}

func FuzzReader(f *testing.F) {
	for _, args := range []string{"--check=crc64", "--check=none", "--check=sha256", "--block-size=1000"} {
		if _, err := exec.LookPath("xz"); err == nil {
			f.Add(pack(f, prose(3<<10), args))
		}
	}
	f.Add(apttest.XzDict(8, []byte("stored")))
	compare(f, func(file []byte) []byte { return file })
}

// FuzzContent is what FuzzReader hardly comes to, as headers have a checksum: the bytes of a block.
func FuzzContent(f *testing.F) {
	var head []byte
	for _, args := range []string{"", ",lc=0,lp=2,pb=0", ",lc=4,pb=4", ",nice=4,mf=hc3,mode=fast"} {
		if _, err := exec.LookPath("xz"); err != nil {
			f.Skip("no xz program to make what is to be changed")
		}
		file := pack(f, slices.Concat(prose(5<<10), make([]byte, 5<<10)), "--check=none", "--lzma2=dict=4KiB"+args)
		head = file[:24] // of the stream and the block
		f.Add(file[24:])
	}
	compare(f, func(content []byte) []byte { return slices.Concat(head, content) })
}

// compare unpacks by this package and by the library. One may find an error earlier than the other.
func compare(f *testing.F, file func([]byte) []byte) {
	const limit = 4 << 20
	z := NewReader(1 << 20)
	l, err := other.NewReader(nil, 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = file(b)
		z.Reset(bytes.NewReader(b))
		got, err := io.ReadAll(io.LimitReader(z, limit))
		if l.Reset(bytes.NewReader(b)) != nil {
			return
		}
		want, lErr := io.ReadAll(io.LimitReader(l, limit))
		if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) || err == nil && lErr == nil && len(got) != len(want) {
			t.Errorf("%d bytes, %v; by the library %d, %v", len(got), err, len(want), lErr)
		}
	})
}
