package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A guest's answer counts when it switched itself off: not when its kernel panicked, nor when QEMU itself failed.
func TestGuestRun(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for _, tt := range []struct {
		name, qemu, answer, problem string
		guest                       bool // it is the guest that failed
	}{
		{"off", `printf 'kernel 9\r\n' >answer; echo 'reboot: Power down' >console`, "kernel 9\n", "", false},
		{"panic", `echo half >answer; echo 'Kernel panic' >console`, "half\n", "the guest did not switch itself off\nKernel panic", true},
		{"no such processor", `echo 'unable to find CPU model' >&2; exit 1`, "", "unable to find CPU model", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(bin, "qemu-system-x86_64"), []byte("#!/bin/sh\n"+tt.qemu+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			answer, err := guests()[0].run(t.Context(), "vmlinuz", t.TempDir())
			if answer != tt.answer || (err != nil) != (tt.problem != "") || errors.Is(err, errGuest) != tt.guest {
				t.Errorf("answer %q, error %v", answer, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.problem) {
				t.Errorf("error %q, want %q", err, tt.problem)
			}
		})
	}
}

// A guest that bakes other bits sends the list of its files, and is told apart by path.
func TestElsewhereDiffers(t *testing.T) {
	here := []entry{{Path: "/same", Digest: "x"}, {Path: "/keys", Digest: "x", Size: 1}}
	there := []entry{{Path: "/same", Digest: "x"}, {Path: "/keys", Digest: "y", Size: 2}}
	s := &soak{ctx: t.Context(), program: filepath.Join(t.TempDir(), "brickyard")}
	data, err := json.Marshal(here)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.program, []byte("#!/bin/sh\necho '"+string(data)+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if err := errors.Join(json.NewEncoder(z).Encode(there), z.Close()); err != nil {
		t.Fatal(err)
	}
	answer := "began 2028-02-29T23:59:03Z\nkernel 6.1.0\nseconds 12\nthere sha256:y\nfiles " + base64.StdEncoding.EncodeToString(packed.Bytes()) + "\n"
	f := &machineFound{Here: "sha256:x"}
	f.read(answer)
	if f.There != "sha256:y" || f.Kernel != "6.1.0" || f.Seconds != 12 || f.Began != "2028-02-29T23:59:03Z" {
		t.Errorf("read %+v", f)
	}
	if err := f.compare(caller{s: s, dir: t.TempDir()}, answer); err != nil || !slices.Equal(f.Differ, []string{"/keys: other content, 1 and 2 bytes"}) {
		t.Errorf("differ: %q, %v", f.Differ, err)
	}
	if row := machineRow(outcome{ID: "a", Found: must(t, f)}); !strings.HasSuffix(row, "| no: 1 paths differ |\n") {
		t.Errorf("row %q", row)
	}
	if row := machineRow(outcome{ID: "a", Found: must(t, &machineFound{Problem: "panic"})}); !strings.HasSuffix(row, "| no: it was not baked |\n") {
		t.Errorf("row %q", row)
	}
}

func must(t *testing.T, found any) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// What systemd says of jobs on the console is found in colours, too.
func TestFailedJobs(t *testing.T) {
	console := "[    2.0] Run /init\r\n[\x1b[0;32m  OK  \x1b[0m] Started a.\r\n[\x1b[0;1;31mFAILED\x1b[0m] Failed to start b.\r\n" +
		"\x1b[K[\x1b[0;1;31m TIME \x1b[0m] Timed out waiting for c.\r\n[\x1b[0;1;33mDEPEND\x1b[0m] Dependency failed for d.\r\nsaid: [FAILED]\r\n"
	want := []string{"[FAILED] Failed to start b.", "[ TIME ] Timed out waiting for c.", "[DEPEND] Dependency failed for d."}
	if got := failedJobs(console); !slices.Equal(got, want) {
		t.Errorf("failed: %q, want %q", got, want)
	}
}

// Each image meets a machine, and each machine is met.
func TestMachineCases(t *testing.T) {
	t.Chdir("..") // where cases look for their recipes
	s := &soak{options: options{dir: t.TempDir()}, ctx: t.Context()}
	cases, err := machineCases(s)
	if err != nil {
		t.Fatal(err)
	}
	met := map[guest]bool{}
	for _, c := range cases {
		if m, ok := c.definition.(machineCase); ok {
			met[m.Guest] = true
		}
	}
	if len(met) != len(guests()) {
		t.Errorf("machines met: %v", met)
	}
}
