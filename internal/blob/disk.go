package blob

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Disk keeps files below a directory. Nothing that is asked of it reaches
// outside, not even through symbolic links.
type Disk struct {
	dir  string
	root *os.Root
}

var _ Store = (*Disk)(nil)

// OpenDisk makes the directory if need be. Close frees it.
func OpenDisk(dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Disk{dir: dir, root: root}, nil
}

// Close frees the directory. Files that are open stay so.
func (d *Disk) Close() error { return d.root.Close() }

type diskFile struct {
	*os.File
	disk *Disk
	name string
}

// Create implements Store.
func (d *Disk) Create(name string) (File, error) {
	if err := checkName("create", name); err != nil {
		return nil, err
	}
	f, err := d.openNew(name+Unfinished, os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d, name}, nil
}

// openNew opens a file that need not exist, nor its folder.
func (d *Disk) openNew(name string, flags int) (*os.File, error) {
	if err := checkName("create", name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, flags|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.mkdir(path.Dir(name)); err != nil {
			return nil, err
		}
		f, err = d.root.OpenFile(name, flags|os.O_CREATE, 0o600)
	}
	return f, err
}

// mkdir makes a folder and those above it durable.
func (d *Disk) mkdir(name string) error {
	if err := d.root.MkdirAll(name, 0o700); err != nil {
		return err
	}
	for ; name != "."; name = path.Dir(name) {
		if err := d.syncFolder(path.Dir(name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Disk) syncFolder(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Commit implements File.
func (f *diskFile) Commit() error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("commit %s: %w", f.name, err)
	}
	if err := f.disk.root.Rename(f.name+Unfinished, f.name); err != nil {
		return fmt.Errorf("commit %s: %w", f.name, err)
	}
	return f.disk.syncFolder(path.Dir(f.name))
}

// Abort implements File.
func (f *diskFile) Abort() error {
	_ = f.Close() // what was written is not wanted
	return f.disk.root.Remove(f.name + Unfinished)
}

// Append implements Store.
func (d *Disk) Append(name string, size int64) (Log, error) {
	f, err := d.openNew(name, os.O_WRONLY)
	if err != nil {
		return nil, err
	}
	err = f.Truncate(size)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = d.syncFolder(path.Dir(name))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// WriteFile implements Store.
func (d *Disk) WriteFile(name string, data []byte) error {
	f, err := d.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// Overwrite implements Store.
func (d *Disk) Overwrite(name string, data []byte) error {
	if err := checkName("overwrite", name); err != nil {
		return err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < int64(len(data)) {
		err = &fs.PathError{Op: "overwrite", Path: name, Err: fs.ErrInvalid}
	}
	if err == nil {
		_, err = f.WriteAt(data, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Open implements Store.
func (d *Disk) Open(name string) (io.ReadSeekCloser, error) {
	if err := checkName("open", name); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// List implements Store.
func (d *Disk) List(folder string) ([]Entry, error) {
	if err := checkName("list", folder); err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(d.root.FS(), folder)
	if err != nil {
		return nil, err
	}
	all := make([]Entry, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken away meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Entry{Name: e.Name(), Folder: e.IsDir(), Size: info.Size()})
	}
	return all, nil
}

// Remove implements Store.
func (d *Disk) Remove(name string) error {
	if err := checkName("remove", name); err != nil {
		return err
	}
	return d.root.RemoveAll(name)
}
