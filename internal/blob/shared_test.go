package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/blob/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestShared is the contract of every store that nodes share, on a directory and a
// real S3 server.
func TestShared(t *testing.T) {
	server := s3test.Start(t)
	for name, address := range map[string]string{
		"directory": (&url.URL{Scheme: "file", Path: filepath.Join(t.TempDir(), "deep", "down")}).String(),
		"s3":        server.URL("some/prefix"),
		"s3 alone":  server.URL("alone"),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := blob.OpenShared(address)
			must(t, err)
			defer func() { must(t, s.Close()) }()
			other, err := blob.OpenShared(address)
			must(t, err)
			defer func() { must(t, other.Close()) }()
			shares(t, s, other)
			races(t, s, other)
		})
	}
	s, err := blob.OpenShared(server.URL("gone"))
	must(t, err)
	defer s.Close()
	server.Kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.Put(ctx, "a", nil); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("put into a store that is gone: %v", err)
	}
	if _, err := s.Get(ctx, "a", 1); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get from a store that is gone: %v", err)
	}
	server.Up(t)
	must(t, s.Put(t.Context(), "a", nil))
}

func shares(t *testing.T, s, other blob.Shared) {
	ctx := t.Context()
	if _, err := s.Get(ctx, "a/b", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what does not exist: %v", err)
	}
	if list, err := s.List(ctx, "a"); err != nil || len(list) != 0 {
		t.Errorf("an empty folder: %v, %v", list, err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	for name, data := range map[string][]byte{"a/b": []byte("one"), "a/c/1.m4s": large, "a/c/2.m4s": nil, "ab/d": []byte("beside")} {
		must(t, s.Put(ctx, name, data))
		must(t, s.Put(ctx, name, data)) // again, as after an answer that was lost
		got, err := other.Get(ctx, name, int64(len(large)))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := s.Get(ctx, "a/c/1.m4s", 100); err == nil {
		t.Error("more than the limit")
	}
	must(t, s.Put(ctx, "a/b", []byte("two")))
	if got, err := other.Get(ctx, "a/b", 10); err != nil || string(got) != "two" {
		t.Errorf("replaced: %q, %v", got, err)
	}
	list, err := other.List(ctx, "a")
	if err != nil || len(list) != 2 || list[0].Name != "b" || list[0].Size != 3 || list[0].Folder || list[1].Name != "c" || !list[1].Folder {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := other.List(ctx, "."); err != nil || len(list) != 2 {
		t.Errorf("all: %+v, %v", list, err)
	}
	must(t, s.Delete(ctx, "a/b"))
	must(t, s.Delete(ctx, "a/b"))
	must(t, s.DeleteFolder(ctx, "a"))
	must(t, s.DeleteFolder(ctx, "a"))
	if list, err := other.List(ctx, "a"); err != nil || len(list) != 0 {
		t.Errorf("after it was deleted: %+v, %v", list, err)
	}
	if _, err := other.Get(ctx, "ab/d", 10); err != nil {
		t.Error("a folder of a like name has gone too")
	}
	for _, bad := range []string{"../a", "/a", "a/../b", "", "a//b"} {
		_, getErr := s.Get(ctx, bad, 1)
		_, listErr := s.List(ctx, bad)
		for _, err := range []error{s.Put(ctx, bad, nil), getErr, listErr, s.Delete(ctx, bad), s.DeleteFolder(ctx, bad)} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

// races lets two nodes put one object at once: it is one of both, and whole.
func races(t *testing.T, s, other blob.Shared) {
	const size = 300_000
	var both sync.WaitGroup
	for i, store := range []blob.Shared{s, other} {
		both.Go(func() {
			for range 5 {
				if err := store.Put(t.Context(), "race", bytes.Repeat([]byte{byte('a' + i)}, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	got, err := s.Get(t.Context(), "race", size)
	if err != nil || len(got) != size || strings.Trim(string(got), string(got[:1])) != "" {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestOpenShared(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, bad := range []string{
		"", "recordings", "ftp://host/", "file://host/path", "file:path", "file://" + file, "s3://", "s3:///prefix", "s3://bucket/../x",
		"s3://bucket?endpoint=host:80", "s3://bucket?endpoint=http://host/path", "s3://bucket?style=odd", "s3://bucket?regoin=eu", "s3://k:%zz@bucket",
	} {
		if s, err := blob.OpenShared(bad); err == nil {
			t.Errorf("%q is taken", bad)
			_ = s.Close()
		} else if strings.Contains(err.Error(), "%zz") {
			t.Errorf("the secret is in %q", err)
		}
	}
	for _, good := range []string{"s3://bucket", "s3://k:s@bucket/a/b?endpoint=https://s3.example.org&region=eu-west-1&style=host"} {
		s, err := blob.OpenShared(good)
		must(t, err)
		must(t, s.Close())
	}
}
