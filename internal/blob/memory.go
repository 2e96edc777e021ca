package blob

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Memory keeps files in memory, up to a number of bytes.
type Memory struct {
	limit int64

	mu    sync.Mutex
	files map[string][]byte
	used  int64
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty store. A write that would exceed limit fails as on a
// full disk.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, files: map[string][]byte{}}
}

type memoryFile struct {
	store *Memory
	at    string // where its bytes are
	name  string // where Commit puts them
}

// Create implements Store.
func (m *Memory) Create(name string) (File, error) {
	if err := checkName("create", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(name+Unfinished, nil)
	return &memoryFile{m, name + Unfinished, name}, nil
}

// put sets a file's bytes. mu is held.
func (m *Memory) put(name string, data []byte) {
	m.used += int64(len(data)) - int64(len(m.files[name]))
	m.files[name] = data
}

func (m *Memory) take(name string) {
	m.used -= int64(len(m.files[name]))
	delete(m.files, name)
}

// Write implements io.Writer.
func (f *memoryFile) Write(b []byte) (int, error) {
	m := f.store
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[f.at]
	if !ok {
		return 0, &fs.PathError{Op: "write", Path: f.at, Err: fs.ErrNotExist}
	}
	if m.used+int64(len(b)) > m.limit {
		return 0, &fs.PathError{Op: "write", Path: f.at, Err: syscall.ENOSPC}
	}
	m.put(f.at, append(data, b...))
	return len(b), nil
}

// Commit implements File.
func (f *memoryFile) Commit() error {
	m := f.store
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[f.at]
	if !ok {
		return &fs.PathError{Op: "commit", Path: f.at, Err: fs.ErrNotExist}
	}
	m.take(f.at)
	m.put(f.name, data)
	return nil
}

// Abort implements File.
func (f *memoryFile) Abort() error { return f.store.Remove(f.at) }

// Sync implements Log.
func (f *memoryFile) Sync() error { return nil }

// Close implements Log.
func (f *memoryFile) Close() error { return nil }

// Append implements Store.
func (m *Memory) Append(name string, size int64) (Log, error) {
	if err := checkName("append", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if data := m.files[name]; int64(len(data)) >= size {
		m.put(name, slices.Clip(data[:size]))
	}
	return &memoryFile{m, name, name}, nil
}

// WriteFile implements Store.
func (m *Memory) WriteFile(name string, data []byte) error {
	f, err := m.Create(name)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		_ = f.Abort()
		return err
	}
	return f.Commit()
}

// Overwrite implements Store.
func (m *Memory) Overwrite(name string, data []byte) error {
	if err := checkName("overwrite", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.files[name]
	switch {
	case !ok:
		return &fs.PathError{Op: "overwrite", Path: name, Err: fs.ErrNotExist}
	case len(old) < len(data):
		return &fs.PathError{Op: "overwrite", Path: name, Err: fs.ErrInvalid}
	}
	m.put(name, slices.Concat(data, old[len(data):])) // readers keep the old bytes
	return nil
}

type memoryReader struct{ *bytes.Reader }

// Close implements io.Closer.
func (memoryReader) Close() error { return nil }

// Open implements Store.
func (m *Memory) Open(name string) (io.ReadSeekCloser, error) {
	if err := checkName("open", name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.files[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return memoryReader{bytes.NewReader(data)}, nil
}

// List implements Store.
func (m *Memory) List(folder string) ([]Entry, error) {
	if err := checkName("list", folder); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]Entry{}
	for name, data := range m.files {
		rest, ok := name, true
		if folder != "." {
			rest, ok = strings.CutPrefix(name, folder+"/")
		}
		if !ok {
			continue
		}
		first, _, below := strings.Cut(rest, "/")
		found[first] = Entry{Name: first, Folder: below, Size: int64(len(data))}
	}
	if len(found) == 0 && folder != "." {
		return nil, &fs.PathError{Op: "list", Path: folder, Err: fs.ErrNotExist}
	}
	all := make([]Entry, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Remove implements Store.
func (m *Memory) Remove(name string) error {
	if err := checkName("remove", name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.files {
		if other == name || strings.HasPrefix(other, path.Clean(name)+"/") {
			m.take(other)
		}
	}
	return nil
}

// Space implements Store.
func (m *Memory) Space() (free, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.limit - m.used, m.limit, nil
}
