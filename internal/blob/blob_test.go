package blob_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice/internal/blob"
)

// TestStores is the contract of every store.
func TestStores(t *testing.T) {
	disk := func(t *testing.T) blob.Store {
		d, err := blob.OpenDisk(filepath.Join(t.TempDir(), "deep", "down"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d
	}
	memory := func(*testing.T) blob.Store { return blob.NewMemory(1 << 20) }
	for name, open := range map[string]func(*testing.T) blob.Store{"disk": disk, "memory": memory} {
		for what, check := range map[string]func(*testing.T, blob.Store){
			"a file appears when it is committed": appears, "aborted": aborted, "log": grows, "list and remove": lists,
			"names": names, "space": space, "replace": replaces, "overwrite": overwrites,
		} {
			t.Run(name+"/"+what, func(t *testing.T) { check(t, open(t)) })
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func overwrites(t *testing.T, s blob.Store) {
	if err := s.Overwrite("a/b", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
	must(t, s.WriteFile("a/b", []byte("one two")))
	must(t, s.Overwrite("a/b", []byte("six")))
	if got := read(t, s, "a/b"); got != "six two" {
		t.Errorf("%q", got)
	}
	if err := s.Overwrite("a/b", []byte("longer than it")); err == nil || read(t, s, "a/b") != "six two" {
		t.Errorf("it grew: %v", err)
	}
}

func read(t *testing.T, s blob.Store, name string) string {
	t.Helper()
	b, err := blob.ReadFile(s, name, 1<<10)
	must(t, err)
	return string(b)
}

func appears(t *testing.T, s blob.Store) {
	f, err := s.Create("a/b/c")
	must(t, err)
	for _, part := range []string{"one ", "two"} {
		_, err = f.Write([]byte(part))
		must(t, err)
	}
	if _, err := s.Open("a/b/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before Commit: %v", err)
	}
	if got := read(t, s, "a/b/c"+blob.Unfinished); got != "one two" {
		t.Errorf("unfinished: %q", got)
	}
	must(t, f.Commit())
	if got := read(t, s, "a/b/c"); got != "one two" {
		t.Errorf("committed: %q", got)
	}
	if _, err := s.Open("a/b/c" + blob.Unfinished); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Commit: %v", err)
	}
	r, err := s.Open("a/b/c")
	must(t, err)
	defer r.Close()
	if _, err := r.Seek(4, io.SeekStart); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "two" {
		t.Errorf("%q, %v", rest, err)
	}
	if _, err := blob.ReadFile(s, "a/b/c", 3); err == nil {
		t.Error("a limit does nothing")
	}
}

func aborted(t *testing.T, s blob.Store) {
	f, err := s.Create("x/y")
	must(t, err)
	_, err = f.Write([]byte("z"))
	must(t, err)
	must(t, f.Abort())
	for _, name := range []string{"x/y", "x/y" + blob.Unfinished} {
		if _, err := s.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func grows(t *testing.T, s blob.Store) {
	l, err := s.Append("d/log", 0)
	must(t, err)
	_, err = l.Write([]byte("good\ntorn"))
	must(t, err)
	must(t, l.Sync())
	must(t, l.Close())
	l, err = s.Append("d/log", 5)
	must(t, err)
	_, err = l.Write([]byte("more\n"))
	must(t, err)
	must(t, l.Close())
	if got := read(t, s, "d/log"); got != "good\nmore\n" {
		t.Errorf("%q", got)
	}
}

func lists(t *testing.T, s blob.Store) {
	for _, name := range []string{"r/2", "r/1", "r/sub/3", "q"} {
		must(t, s.WriteFile(name, []byte(name)))
	}
	entries, err := s.List("r")
	must(t, err)
	if len(entries) != 3 || entries[0].Name != "1" || entries[0].Size != 3 || entries[0].Folder || !entries[2].Folder || entries[2].Name != "sub" {
		t.Errorf("%+v", entries)
	}
	must(t, s.Remove("r/1"))
	must(t, s.Remove("r/sub"))
	must(t, s.Remove("nothing"))
	if entries, err = s.List("r"); err != nil || len(entries) != 1 {
		t.Errorf("%+v, %v", entries, err)
	}
	if entries, err = s.List("."); err != nil || len(entries) != 2 {
		t.Errorf("the root: %+v, %v", entries, err)
	}
	if _, err := s.List("nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func names(t *testing.T, s blob.Store) {
	for _, name := range []string{"../out", "/etc/passwd", "a/../../b", "", "a//b"} {
		if _, err := s.Create(name); err == nil {
			t.Errorf("created %q", name)
		}
		if _, err := s.Open(name); err == nil {
			t.Errorf("opened %q", name)
		}
		if _, err := s.Append(name, 0); err == nil {
			t.Errorf("appended to %q", name)
		}
		if err := s.Remove(name); err == nil {
			t.Errorf("removed %q", name)
		}
	}
}

func space(t *testing.T, s blob.Store) {
	free, total, err := s.Space()
	must(t, err)
	if free <= 0 || total < free {
		t.Errorf("%d of %d", free, total)
	}
}

func replaces(t *testing.T, s blob.Store) {
	must(t, s.WriteFile("f", bytes.Repeat([]byte("long"), 10)))
	must(t, s.WriteFile("f", []byte("short")))
	if got := read(t, s, "f"); got != "short" {
		t.Errorf("%q", got)
	}
}

// TestMemoryIsBounded fails as a full disk does.
func TestMemoryIsBounded(t *testing.T) {
	s := blob.NewMemory(10)
	must(t, s.WriteFile("a", make([]byte, 10)))
	if err := s.WriteFile("b", []byte("x")); err == nil {
		t.Error("it took more than its limit")
	}
	must(t, s.Remove("a"))
	must(t, s.WriteFile("b", []byte("x")))
}

// TestDiskStaysInside: not even a symbolic link leads out.
func TestDiskStaysInside(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600))
	d, err := blob.OpenDisk(filepath.Join(dir, "store"))
	must(t, err)
	defer d.Close()
	must(t, os.Symlink("..", filepath.Join(dir, "store", "up")))
	if _, err := d.Open("up/secret"); err == nil {
		t.Error("a link led out of the store")
	}
}
