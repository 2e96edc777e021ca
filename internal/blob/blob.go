package blob

import (
	"fmt"
	"io"
	"io/fs"
)

// Unfinished ends the name of a file that is being written.
const Unfinished = ".tmp"

// Store keeps files. Any goroutine may use it. What does not exist is reported
// with an error that is fs.ErrNotExist.
type Store interface {
	// Create begins a file. Folders are made as needed.
	Create(name string) (File, error)
	// Append opens a file for appending behind its first size bytes, which it
	// cuts it to; it makes the file when size is 0.
	Append(name string, size int64) (Log, error)
	// WriteFile puts a whole file in place at once, in the place of an older one.
	WriteFile(name string, data []byte) error
	// Overwrite puts data in the place of the first bytes of a file that has at
	// least as many, and makes it durable. It takes no space.
	Overwrite(name string, data []byte) error
	Open(name string) (io.ReadSeekCloser, error)
	// List returns what lies directly in a folder, ordered by name.
	List(folder string) ([]Entry, error)
	// Remove takes a file or a whole folder away. What does not exist is no error.
	Remove(name string) error
	// Space is how many bytes can still be written, and how many there are in all.
	Space() (free, total int64, err error)
}

// File is a file that is being written. Its bytes survive the process from Write
// on, and the machine from Commit on.
type File interface {
	io.Writer
	// Commit makes the file durable under its name.
	Commit() error
	// Abort takes the file away.
	Abort() error
}

// Log is a file that grows.
type Log interface {
	io.Writer
	Sync() error
	Close() error
}

// Entry is a file or a folder.
type Entry struct {
	Name   string // without its folder
	Folder bool
	Size   int64
}

// ReadFile returns a whole file of at most limit bytes.
func ReadFile(s Store, name string, limit int64) (_ []byte, err error) {
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", name, limit)
	}
	return b, nil
}

func checkName(op, name string) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return nil
}
