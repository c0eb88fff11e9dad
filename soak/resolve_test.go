package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestResolveCounts(t *testing.T) {
	var f resolveFound
	if f.count([]byte("--- FAIL: TestLikeAptElsewhere\n")) {
		t.Error("counted where nothing was counted")
	}
	const line = "    random_test.go:134: sets=50 same=30 refused=19 different=1 recommends=17 pins=5\n"
	if !f.count([]byte("=== RUN\n" + line)) {
		t.Fatal("the line of counts was not seen")
	}
	want := resolveFound{resolveCase: resolveCase{Sets: 50}, Same: 30, Refused: 19, Different: 1, Recommends: 17, Pins: 5}
	if f != want || f.ok() {
		t.Errorf("got %+v, ok %v, want %+v", f, f.ok(), want)
	}
	f.Same, f.Different = 31, 0
	if !f.ok() {
		t.Errorf("%+v is not ok", f)
	}
	if f.Refused--; f.ok() {
		t.Error("a set that nobody was asked about is ok")
	}
}

func TestResolveReport(t *testing.T) {
	var outcomes []outcome
	for _, arch := range []string{"amd64", "amd64", "arm64"} {
		found, err := json.Marshal(resolveFound{resolveCase: resolveCase{Release: "trixie", Arch: arch, Sets: 50}, Same: 40, Refused: 10, Recommends: 7, Pins: 3})
		if err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, outcome{Found: found})
	}
	page := resolveReport(nil, outcomes)
	for _, want := range []string{"**150 of 150 are", "| trixie | amd64 | 100 | 80 | 20 | 14 | 6 | 0 |", "| trixie | arm64 | 50 | 40 | 10 | 7 | 3 | 0 |"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}
