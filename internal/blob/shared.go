package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Shared keeps whole objects for several nodes at once. Any goroutine may use it.
// Every call waits for the store, within its context. What does not exist is
// reported with an error that is fs.ErrNotExist.
type Shared interface {
	// Put makes an object durable, in the place of an older one: others see all of
	// it or nothing. To put the same again is no error.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns a whole object of at most limit bytes.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
	// List returns what lies directly in a folder, ordered by name. A folder that
	// does not exist is empty.
	List(ctx context.Context, folder string) ([]Entry, error)
	// Delete takes an object away. What does not exist is no error.
	Delete(ctx context.Context, name string) error
	// DeleteFolder takes everything below a folder away.
	DeleteFolder(ctx context.Context, folder string) error
	Close() error
}

// OpenShared opens the store that a URL names: a directory that the nodes share,
// file:///path, or a bucket, s3://bucket/prefix (see openS3). It does not ask
// whether the store is reachable.
func OpenShared(text string) (Shared, error) {
	u, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		disk, err := OpenDisk(u.Path)
		if err != nil {
			return nil, err
		}
		return Directory{disk}, nil
	case "s3":
		return openS3(u)
	default:
		return nil, fmt.Errorf("%q is neither a file: nor an s3: URL", u.Scheme)
	}
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not a URL") // the parser's error would repeat the password
	}
	if u.Scheme == "file" && (u.Host != "" || u.RawQuery != "" || !filepath.IsAbs(u.Path)) {
		return nil, errors.New("not of the form file:///path")
	}
	return u, nil
}

// CheckURL reports what is wrong with a URL that OpenShared would be given.
func CheckURL(text string) error {
	u, err := parseURL(text)
	if err != nil || u.Scheme == "file" {
		return err
	}
	s, err := OpenShared(text)
	if err != nil {
		return err
	}
	return s.Close()
}

// Directory is a directory that several nodes share, such as a mounted one.
type Directory struct{ *Disk }

var _ Shared = Directory{}

// Put implements Shared. The temporary name is unlike that of any other node.
func (d Directory) Put(_ context.Context, name string, data []byte) error {
	if err := checkName("put", name); err != nil {
		return err
	}
	temporary := name + "." + rand.Text() + Unfinished
	f, err := d.openNew(temporary, os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("put %s: %w", name, err), d.root.Remove(temporary))
	}
	return d.syncFolder(path.Dir(name))
}

// Get implements Shared.
func (d Directory) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	return ReadFile(d.Disk, name, limit)
}

// List implements Shared.
func (d Directory) List(_ context.Context, folder string) ([]Entry, error) {
	entries, err := d.Disk.List(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	kept := entries[:0]
	for _, e := range entries {
		if !strings.HasSuffix(e.Name, Unfinished) {
			kept = append(kept, e)
		}
	}
	return kept, err
}

// Delete implements Shared.
func (d Directory) Delete(_ context.Context, name string) error { return d.Remove(name) }

// DeleteFolder implements Shared.
func (d Directory) DeleteFolder(_ context.Context, folder string) error { return d.Remove(folder) }
