package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The committed dist is what the sources give.
func TestDistIsFresh(t *testing.T) {
	want, err := Bundle("../src")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("../dist")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	for name, body := range want {
		if !slices.Contains(names, name) {
			t.Errorf("dist lacks %s: run go generate ./web", name)
			continue
		}
		got, err := os.ReadFile(filepath.Join("../dist", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, body) {
			t.Errorf("dist/%s is stale: run go generate ./web", name)
		}
	}
	for _, name := range names {
		if _, ok := want[name]; !ok {
			t.Errorf("dist/%s has no source: run go generate ./web", name)
		}
	}
}

// The place of the checkout leaves no trace.
func TestBundleIsTheSameAnywhere(t *testing.T) {
	here, err := Bundle("../src")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.CopyFS(elsewhere, os.DirFS("../src")); err != nil {
		t.Fatal(err)
	}
	there, err := Bundle(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range here {
		if !bytes.Equal(there[name], body) {
			t.Errorf("%s depends on the folder", name)
		}
	}
}

// Pages live under a strict policy: no markup from strings, no inline code.
func TestSourcesKeepThePolicy(t *testing.T) {
	banned := []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " style=", " onclick="}
	err := filepath.WalkDir("../src", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, word := range banned {
			if bytes.Contains(body, []byte(word)) {
				t.Errorf("%s has %q", path, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
