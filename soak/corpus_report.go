package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const corpusHead = `## Servers and tools

Each of these was locked and baked three times: in a home that had other images already, from nothing, and from nothing
once more under other circumstances (one core, umask, time zone, locale, environment, another home and directory). "The same
bits" means that the three digests are one. Then it was run, with its ports published, and asked over its own
protocol until it answered, or, where it is no server, run once; and stopped, after which nothing of it may be left:
no directory, no mount, no process. Configuration is Debian's own, but for what it takes to be asked something;
the recipes are in soak/corpus_subjects.go.

`

// corpusReport is the section of the page on the corpus.
func corpusReport(_ *soak, outcomes []outcome) string {
	var w, notes, bad strings.Builder
	var same, answered int
	var seconds []float64
	w.WriteString("| image | packages | compressed | unpacked | baked in | same bits | answered | what was asked |\n|---|---:|---:|---:|---:|---|---|---|\n")
	slices.SortFunc(outcomes, func(a, b outcome) int { return strings.Compare(a.ID, b.ID) })
	remarks := map[string]string{}
	for _, sub := range subjects() {
		remarks[sub.name] = sub.note
	}
	cleaned := map[string][]string{} // by reason and path, the images
	for _, o := range outcomes {
		var f corpusFound
		if err := json.Unmarshal(o.Found, &f); err != nil {
			fmt.Fprintf(&bad, "- %s: %v\n", o.ID, err)
			continue
		}
		if f.Same {
			same++
		}
		if f.Answered {
			answered++
		}
		row(&w, o.ID, f)
		if len(f.Bakes) > 1 {
			seconds = append(seconds, f.Bakes[1].Seconds)
		}
		if remarks[o.ID] != "" {
			fmt.Fprintf(&notes, "- %s: %s.\n", o.ID, remarks[o.ID])
		}
		if !f.ok() {
			problem, _, _ := strings.Cut(f.Problem, "\n")
			fmt.Fprintf(&bad, "- %s: %s %s\n", o.ID, problem, strings.Join(f.Differ[:min(len(f.Differ), 5)], "; "))
		}
		for _, c := range f.Cleaned {
			cleaned[c] = append(cleaned[c], o.ID)
		}
	}
	head := fmt.Sprintf("%s**%d of %d have the same bits, %d answered.** ", corpusHead, same, len(outcomes), answered)
	if len(seconds) > 0 {
		slices.Sort(seconds)
		head += fmt.Sprintf("Baking from nothing, packages at hand, took %.1f s in the middle; other things ran on this machine meanwhile.", seconds[len(seconds)/2])
	}
	out := head + "\n\n" + w.String()
	out += "\n### What is not as it should be\n\n" + orNothing(bad.String())
	out += "\n### What is out of the ordinary\n\n" + orNothing(notes.String())
	return out + "\n### What was taken away\n\n" + takenAway(cleaned, len(outcomes))
}

func orNothing(list string) string {
	if list == "" {
		return "Nothing.\n"
	}
	return list
}

func row(w *strings.Builder, id string, f corpusFound) {
	took := "-"
	if len(f.Bakes) > 1 {
		took = fmt.Sprintf("%.1f s", f.Bakes[1].Seconds)
	}
	fmt.Fprintf(w, "| %s | %d | %.1f MB | %.1f MB | %s | %s | %s | %s |\n", id, f.Packages,
		float64(f.Stored)/1e6, float64(f.Unpacked)/1e6, took, yes(f.Same), yes(f.Answered), strings.ReplaceAll(f.Asked, "|", `\|`))
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "**no**"
}

// takenAway lists what was cleaned, by reason, but for what was so in most images.
func takenAway(cleaned map[string][]string, images int) string {
	type group struct {
		paths  int
		first  string
		images []string
	}
	byWhy := map[string]*group{}
	for line, in := range cleaned {
		if len(in) > images/2 {
			continue
		}
		path, why, _ := strings.Cut(line, ": ")
		g := byWhy[why]
		if g == nil {
			g = &group{first: path}
			byWhy[why] = g
		}
		g.paths++
		g.first = min(g.first, path)
		for _, id := range in {
			if !slices.Contains(g.images, id) {
				g.images = append(g.images, id)
			}
		}
	}
	var lines []string
	for why, g := range byWhy {
		slices.Sort(g.images)
		more := ""
		if g.paths > 1 {
			more = fmt.Sprintf(" and %d more", g.paths-1)
		}
		lines = append(lines, fmt.Sprintf("- `/%s`%s, of %s: %s.\n", g.first, more, strings.Join(g.images, ", "), why))
	}
	slices.Sort(lines)
	return "What scripts made that would differ from run to run, or that no two machines may share; locks, logs and backup copies of dpkg,\n" +
		"debconf and ldconfig, which every image would have, are not listed. docs/recipe.md says how what a program needs is made at its first start.\n\n" +
		orNothing(strings.Join(lines, ""))
}
