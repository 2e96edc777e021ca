package hlsfallback

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-live/sluice"
)

// file is a recording as one fragmented MP4: the best video and the default
// audio, each as a track of it. Its size is known from the index, so that a
// caller may ask for any range; segments are read when their turn comes.
type file struct {
	head   []byte // ftyp and moov
	chunks []chunk
	size   int64
}

// chunk is one segment in the file.
type chunk struct {
	track *track
	seg   sluice.Segment
	id    uint32
	index uint32 // sample description, 0: the only one
	scale uint32
	from  int64 // in the file
	size  int64
}

// fileTrack is one rendition of the file.
type fileTrack struct {
	track    *track
	segs     []entry
	id       uint32
	scale    uint32
	versions []int // of init sections, in order of their first use
}

// layout plans the file.
func (h *Handler) layout(ctx context.Context, s *show) (*file, error) {
	var tracks []*fileTrack
	if best := s.best(sluice.RenditionVideo); best != nil {
		tracks = append(tracks, &fileTrack{track: best})
	}
	if best := s.best(sluice.RenditionAudio); best != nil {
		tracks = append(tracks, &fileTrack{track: best})
	}
	if len(tracks) == 0 {
		return nil, sluice.Errorf(sluice.CodeNotFound, "the recording has no media")
	}
	var traks, trexs [][]byte
	var first []byte
	for i, ft := range tracks {
		ft.id = uint32(i + 1)
		inits, err := h.inits(ctx, ft)
		if err != nil {
			return nil, err
		}
		trak, trex, err := mergedTrack(inits, ft.id)
		if err != nil {
			return nil, fmt.Errorf("merge init sections: %w", err)
		}
		if ft.scale, err = timescale(inits[0]); err != nil {
			return nil, fmt.Errorf("read timescale: %w", err)
		}
		if traks, trexs = append(traks, trak), append(trexs, trex); first == nil {
			first = inits[0]
		}
	}
	head, err := mergedHead(first, traks, trexs)
	if err != nil {
		return nil, fmt.Errorf("merge init sections: %w", err)
	}
	f := &file{head: head, size: int64(len(head))}
	f.plan(tracks)
	return f, nil
}

// best is the rendition with the highest bit rate, or the default one.
func (s *show) best(kind sluice.RenditionKind) (best *track) {
	var most sluice.Rendition
	for _, t := range s.list() {
		r := t.rendition()
		t.mu.Lock()
		some := slices.ContainsFunc(t.entries, func(e entry) bool { return !e.seg.Gap })
		t.mu.Unlock()
		if r.Kind != kind || !some {
			continue
		}
		if best == nil || r.Default && !most.Default || r.Default == most.Default && r.Peak > most.Peak {
			best, most = t, r
		}
	}
	return best
}

// inits reads the init sections that a track uses.
func (h *Handler) inits(ctx context.Context, ft *fileTrack) (inits [][]byte, err error) {
	ft.track.mu.Lock()
	for _, e := range ft.track.entries {
		if e.seg.Gap {
			continue
		}
		ft.segs = append(ft.segs, e)
		if !slices.Contains(ft.versions, e.seg.Init) {
			ft.versions = append(ft.versions, e.seg.Init)
		}
	}
	ft.track.mu.Unlock()
	for _, version := range ft.versions {
		p, err := h.media(ctx, ft.track, fileInit, uint64(version))
		if err != nil {
			return nil, err
		}
		inits = append(inits, p.data)
	}
	return inits, nil
}

// mergedHead makes ftyp and a moov with all tracks.
func mergedHead(init []byte, traks, trexs [][]byte) ([]byte, error) {
	ftyp, err := child(init, "ftyp")
	if err != nil {
		return nil, err
	}
	mvhd, err := child(init, "moov", "mvhd")
	if err != nil {
		return nil, err
	}
	header := append([]byte(nil), mvhd.data...)
	binary.BigEndian.PutUint32(header[len(header)-4:], uint32(len(traks)+1)) // next_track_ID
	pieces := append([][]byte{header}, traks...)
	pieces = append(pieces, makeBox("mvex", trexs...))
	return append(append([]byte(nil), ftyp.data...), makeBox("moov", pieces...)...), nil
}

// plan orders the segments of all tracks by time.
func (f *file) plan(tracks []*fileTrack) {
	for _, ft := range tracks {
		for _, e := range ft.segs {
			c := chunk{track: ft.track, seg: e.seg, id: ft.id, scale: ft.scale, size: e.seg.Size}
			if version := slices.Index(ft.versions, e.seg.Init); version > 0 {
				c.index = uint32(version + 1)
				c.size += int64(4 * max(e.fragments, 1)) // sample_description_index
			} else if len(ft.versions) > 1 {
				c.index = 1
			}
			f.chunks = append(f.chunks, c)
		}
	}
	slices.SortStableFunc(f.chunks, func(a, b chunk) int { return a.seg.Start.Compare(b.seg.Start) })
	for i := range f.chunks {
		f.chunks[i].from = f.size
		f.size += f.chunks[i].size
	}
}

// slack is how far a segment's decode time may be from its capture time before
// it is moved there: what a break of the publisher's clock leaves.
const slack = 100 * time.Millisecond

// bytes returns a chunk as it is in the file.
func (h *Handler) bytes(ctx context.Context, c chunk) ([]byte, error) {
	p, err := h.media(ctx, c.track, fileSegment, c.seg.Sequence)
	if err != nil {
		return nil, err
	}
	units := func(d time.Duration) uint64 { return uint64(d.Seconds() * float64(c.scale)) }
	start := max(c.seg.Start.Sub(c.track.show.rec.Started), 0)
	data, err := retrack(p.data, c.id, c.index, units(start), units(slack))
	if err != nil {
		return nil, fmt.Errorf("segment %d of %s: %w", c.seg.Sequence, c.track.id, err)
	}
	if int64(len(data)) != c.size {
		return nil, fmt.Errorf("segment %d of %s has %d bytes, the index says %d", c.seg.Sequence, c.track.id, len(data), c.size)
	}
	return data, nil
}

// recording answers with the whole recording or a range of it.
func (x *exchange) recording(s *show) error {
	ctx := x.r.Context()
	f, err := x.h.layout(ctx, s)
	if err != nil {
		return err
	}
	c := x.h.constants
	header := x.w.Header()
	header["Content-Type"] = c.mp4
	header["Accept-Ranges"] = c.bytes
	etag := fmt.Sprintf(`"%d-%d"`, f.size, len(f.chunks))
	header.Set("Etag", etag)
	header["Cache-Control"] = c.soon
	if s.over {
		header["Cache-Control"] = c.past
	}
	header.Set("Content-Disposition", `attachment; filename="`+s.rec.Stream+"-"+s.rec.ID+`.mp4"`)
	if match := x.r.Header["If-None-Match"]; len(match) > 0 && matches(match[0], etag) {
		x.write(http.StatusNotModified, nil)
		return nil
	}
	from, to, status := int64(0), f.size, http.StatusOK
	if asked := x.r.Header["Range"]; len(asked) > 0 && ifRange(x.r, etag) {
		if a, b, ok, valid := parseRange(asked[0], f.size); valid && !ok {
			header.Set("Content-Range", "bytes */"+strconv.FormatInt(f.size, 10))
			x.write(http.StatusRequestedRangeNotSatisfiable, nil)
			return nil
		} else if valid {
			from, to, status = a, b, http.StatusPartialContent
			header.Set("Content-Range", contentRange(from, to, f.size))
		}
	}
	header.Set("Content-Length", strconv.FormatInt(to-from, 10))
	x.write(status, nil)
	if x.r.Method == http.MethodHead {
		return nil
	}
	x.send(f, from, to)
	return nil
}

// send writes a range of the file. What fails after the header cuts the
// connection: the caller must not take half a file for a whole one.
func (x *exchange) send(f *file, from, to int64) {
	piece := func(data []byte, at int64) bool {
		a, b := max(from-at, 0), min(to-at, int64(len(data)))
		if a >= b {
			return true
		}
		x.deadline()
		n, err := x.w.Write(data[a:b])
		x.bytes += n
		return err == nil
	}
	if !piece(f.head, 0) {
		return
	}
	for _, c := range f.chunks {
		if c.from+c.size <= from || c.from >= to {
			continue
		}
		data, err := x.h.bytes(x.r.Context(), c)
		if err != nil {
			x.h.deps.Log.Warn("a recording cannot be sent whole", "stream", x.stream, "err", err)
			panic(http.ErrAbortHandler)
		}
		if !piece(data, c.from) {
			return
		}
	}
}
