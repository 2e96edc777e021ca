package signaling

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/obs"
	"github.com/sluice-live/sluice/internal/problem"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// page is the part of a list that a caller asks for.
type page struct {
	Limit  pageLimit `query:"limit" doc:"Most items to return"`
	Cursor string    `query:"cursor" doc:"nextCursor of the page before"`
}

// pageLimit is documented as a number and read by us, see register.
type pageLimit string

// Schema implements huma.SchemaProvider.
func (pageLimit) Schema(huma.Registry) *huma.Schema {
	least, most := 1.0, float64(maxPage)
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: defaultPage}
}

// list is one page. NextCursor is "" on the last one.
type list[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"nextCursor" doc:"Empty on the last page"`
}

type body[T any] struct{ Body T }

type streamInput struct {
	Stream string `path:"stream" doc:"Name of the stream"`
}

// The library does not fill embedded structs that are not exported, hence the
// repeated fields.
type viewersInput struct {
	Stream string    `path:"stream" doc:"Name of the stream"`
	Limit  pageLimit `query:"limit" doc:"Most items to return"`
	Cursor string    `query:"cursor" doc:"nextCursor of the page before"`
}

type viewerInput struct {
	Stream string `path:"stream" doc:"Name of the stream"`
	ID     string `path:"id" doc:"Public id of the viewer"`
}

// stream is one stream, and what is left of its last show.
type stream struct {
	sluice.Stream
	Recording string `json:"recording,omitempty" doc:"Id of the recording of the last show, of a stream that is offline"`
}

// getStream answers for a stream that had a show as well: it is offline since its end.
func (a API) getStream(ctx context.Context, in *streamInput) (*body[stream], error) {
	s, err := a.find(grantOf(ctx), in.Stream, maySee)
	gone := sluice.CodeOf(err) == sluice.CodeNotFound || err == nil && s.State == sluice.StreamOffline
	if gone && a.Last != nil {
		if rec, ok := a.Last(ctx, in.Stream); ok {
			return &body[stream]{stream{withoutNull(sluice.Stream{Name: in.Stream, State: sluice.StreamOffline, Since: rec.Ended, Viewers: s.Viewers}), rec.ID}}, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return &body[stream]{stream{Stream: s}}, nil
}

func (a API) listViewers(ctx context.Context, in *viewersInput) (*body[list[sluice.Viewer]], error) {
	if _, err := a.find(grantOf(ctx), in.Stream, mayRun); err != nil {
		return nil, err
	}
	return paged(slices.Clone(a.Streams.Viewers(in.Stream)), func(v sluice.Viewer) string { return v.ID }, page{in.Limit, in.Cursor})
}

func (a API) getViewer(ctx context.Context, in *viewerInput) (*body[sluice.Viewer], error) {
	if _, err := a.find(grantOf(ctx), in.Stream, mayRun); err != nil {
		return nil, err
	}
	for _, v := range a.Streams.Viewers(in.Stream) {
		if v.ID == in.ID {
			return &body[sluice.Viewer]{v}, nil
		}
	}
	return nil, sluice.Errorf(sluice.CodeNotFound, "the stream has no such viewer")
}

// find returns the stream if grant may look at it. Whether it exists is not said
// to whoever may not.
func (a API) find(grant sluice.Grant, name string, may func(sluice.Grant, string) bool) (sluice.Stream, error) {
	if err := sluice.CheckStreamName(name); err != nil {
		return sluice.Stream{}, err
	}
	if !may(grant, name) {
		return sluice.Stream{}, sluice.Errorf(sluice.CodeForbidden, "the token is not for this")
	}
	for _, s := range a.Streams.Streams() {
		if s.Name == name {
			return withoutNull(s), nil
		}
	}
	return sluice.Stream{}, sluice.Errorf(sluice.CodeNotFound, "there is no such stream on this node")
}

func maySee(g sluice.Grant, stream string) bool { return g.MayWatch(stream) || g.MayPublish(stream) }

func mayRun(g sluice.Grant, stream string) bool { return g.MayModerate(stream) || g.MayPublish(stream) }

// withoutNull makes an empty list of layers an empty JSON array.
func withoutNull(s sluice.Stream) sluice.Stream {
	if s.Layers == nil {
		s.Layers = []sluice.Layer{}
	}
	return s
}

// paged sorts items by key, which is unique, and returns those after the cursor.
func paged[T any](items []T, key func(T) string, p page) (*body[list[T]], error) {
	after, err := decodeCursor(p.Cursor)
	if err != nil {
		return nil, err
	}
	limit, err := p.Limit.read()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(items, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	first, found := slices.BinarySearchFunc(items, after, func(item T, k string) int { return cmp.Compare(key(item), k) })
	if found {
		first++
	}
	items = items[first:]
	out := list[T]{Items: items}
	if len(items) > limit {
		out.Items = items[:limit]
		out.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(key(items[limit-1])))
	}
	if out.Items == nil {
		out.Items = []T{}
	}
	return &body[list[T]]{out}, nil
}

func decodeCursor(cursor string) (string, error) {
	if len(cursor) > 256 {
		return "", sluice.Errorf(sluice.CodeInvalid, "cursor is not one of ours")
	}
	key, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", sluice.Errorf(sluice.CodeInvalid, "cursor is not one of ours")
	}
	return string(key), nil
}

func (l pageLimit) read() (int, error) {
	if l == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(string(l))
	if err != nil || n < 1 || n > maxPage {
		return 0, sluice.Errorf(sluice.CodeInvalid, "limit is a number from 1 to %d", maxPage)
	}
	return n, nil
}

// refusal is a problem in the form in which the library sends a handler's error.
type refusal struct {
	problem.Problem
	headers http.Header
}

// refuse is problem.Write for handlers that have no response writer.
func refuse(ctx context.Context, err error) *refusal {
	p, h := problem.For(err)
	p.RequestID = obs.RequestIDFrom(ctx)
	h.Del("Content-Type")  // set by the library
	h.Del("Cache-Control") // set by authorize
	return &refusal{p, h}
}

// Error implements error.
func (r *refusal) Error() string { return r.Title + ": " + r.Detail }

// GetStatus implements huma.StatusError.
func (r *refusal) GetStatus() int { return r.Status }

// GetHeaders implements huma.HeadersError.
func (r *refusal) GetHeaders() http.Header { return r.headers }

// ContentType implements huma.ContentTypeFilter.
func (r *refusal) ContentType(string) string { return problem.ContentType }
