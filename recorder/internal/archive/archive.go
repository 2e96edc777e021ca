package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/blob"
)

const (
	maxMeta  = 1 << 20
	maxIndex = 1 << 30
	maxTorn  = 1 << 30
	maxInit  = 1 << 20
	maxThumb = 4 << 20
	metaName = "recording.json"
	segmentX = ".m4s"
)

// Meta is what a recording is.
type Meta struct {
	sluice.Recording
	Origin     int64              `json:"origin"`           // capture time of tick 0, nanoseconds since 1970
	Closed     bool               `json:"closed,omitempty"` // nothing is being written: what is in the indexes is all that was seen
	Term       uint64             `json:"term,omitempty"`   // in the store that nodes share; 0: it is on this disk only
	Renditions []sluice.Rendition `json:"renditions"`
}

// Archive is all recordings of a store. Any goroutine may use it.
type Archive struct{ Store blob.Store }

// NotFound is the error for what an archive does not have.
func NotFound(what string) error {
	return sluice.Errorf(sluice.CodeNotFound, "there is no such %s", what)
}

// checkID keeps names that others send apart from paths.
func checkID(id string) error {
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return NotFound("recording or rendition")
		}
	}
	if id == "" || len(id) > 128 {
		return NotFound("recording or rendition")
	}
	return nil
}

// List returns the recordings, the oldest first. What cannot be read is left out
// and reported.
func (a *Archive) List() ([]Meta, error) {
	entries, err := a.Store.List(".")
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	var all []Meta
	var errs []error
	for _, e := range entries {
		if !e.Folder || checkID(e.Name) != nil {
			continue
		}
		m, err := a.Meta(e.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b Meta) int { return strings.Compare(a.ID, b.ID) })
	return all, errors.Join(errs...)
}

// Meta reads what a recording is.
func (a *Archive) Meta(rec string) (Meta, error) {
	var m Meta
	if err := checkID(rec); err != nil {
		return m, err
	}
	b, err := blob.ReadFile(a.Store, path.Join(rec, metaName), maxMeta)
	if errors.Is(err, fs.ErrNotExist) {
		return m, NotFound("recording")
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil && m.ID != rec {
		err = errors.New("it names another recording")
	}
	if err != nil {
		return Meta{}, fmt.Errorf("recording %s: %w", rec, err)
	}
	return m, nil
}

// PutMeta writes what a recording is.
func (a *Archive) PutMeta(m Meta) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("recording %s: %w", m.ID, err)
	}
	return a.Store.WriteFile(path.Join(m.ID, metaName), b)
}

// Timeline reads the indexes of a recording.
func (a *Archive) Timeline(ctx context.Context, m Meta) (map[string][]sluice.Segment, error) {
	all := map[string][]sluice.Segment{}
	for _, r := range m.Renditions {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		segments, _, err := a.index(m.ID, r.ID)
		if err != nil {
			return nil, err
		}
		all[r.ID] = segments
	}
	return all, nil
}

// index reads the index of a rendition, which may be missing, and how many bytes
// of it are good.
func (a *Archive) index(rec, rendition string) ([]sluice.Segment, int64, error) {
	b, err := blob.ReadFile(a.Store, path.Join(rec, rendition, "index"), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	segments, good := parseIndex(b)
	return segments, good, nil
}

// lines returns how many lines of an index are about segments that are gone, and how
// many bytes of it are good.
func (a *Archive) lines(rec, rendition string) (gone int, good int64, err error) {
	b, err := blob.ReadFile(a.Store, path.Join(rec, rendition, "index"), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	segments, good := parseIndex(b)
	return bytes.Count(b[:good], []byte{'\n'}) - len(segments), good, nil
}

func segmentName(rec, rendition string, seq uint64) string {
	return path.Join(rec, rendition, strconv.FormatUint(seq, 10)+segmentX)
}

func initName(rec, rendition string, version int) string {
	return path.Join(rec, rendition, "init-"+strconv.Itoa(version)+".mp4")
}

func thumbnailName(rec string, n uint64) string {
	return path.Join(rec, "thumbnails", strconv.FormatUint(n, 10)+".jpg")
}

// Segment opens a finished segment.
func (a *Archive) Segment(rec, rendition string, seq uint64) (io.ReadSeekCloser, error) {
	if err := errors.Join(checkID(rec), checkID(rendition)); err != nil {
		return nil, err
	}
	f, err := a.Store.Open(segmentName(rec, rendition, seq))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, NotFound("segment")
	}
	return f, err
}

// Init reads an init section.
func (a *Archive) Init(rec, rendition string, version int) ([]byte, error) {
	if err := errors.Join(checkID(rec), checkID(rendition)); err != nil {
		return nil, err
	}
	return a.small(initName(rec, rendition, version), maxInit, "init section")
}

// Thumbnail reads a picture.
func (a *Archive) Thumbnail(rec string, n uint64) ([]byte, error) {
	if err := checkID(rec); err != nil {
		return nil, err
	}
	return a.small(thumbnailName(rec, n), maxThumb, "thumbnail")
}

func (a *Archive) small(name string, limit int64, what string) ([]byte, error) {
	b, err := blob.ReadFile(a.Store, name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, NotFound(what)
	}
	return b, err
}

// Remove takes a recording away.
func (a *Archive) Remove(rec string) error {
	if err := checkID(rec); err != nil {
		return err
	}
	// Without this file it is none any more, if the rest should fail.
	if err := a.Store.Remove(path.Join(rec, metaName)); err != nil {
		return err
	}
	return a.Store.Remove(rec)
}
