package signaling

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sluice-live/sluice"
)

// Held is what a node says of the streams that it has.
type Held struct {
	Node    string
	Streams []sluice.Stream
}

// Neighbours are the other nodes, as far as lists of streams need them.
type Neighbours interface {
	// Streams asks those that carry streams for them. missing are the nodes that
	// have not told all of theirs. The results are not to be changed.
	Streams(ctx context.Context) (held []Held, missing []string)
	// Peer reports whether a request for such a list is another node's. An error
	// is a sluice.Error: it says that it is, but is not.
	Peer(r *http.Request) (bool, error)
}

// listStreamsID is the operation that nodes ask each other for too.
const listStreamsID = "list-streams"

type streamsInput struct {
	Limit  pageLimit `query:"limit" doc:"Most items to return"`
	Cursor string    `query:"cursor" doc:"nextCursor of the page before"`
	Local  choice    `query:"local" doc:"Only streams that the node which is asked has"`
}

// choice is documented as a boolean and read by us, see register.
type choice string

// Schema implements huma.SchemaProvider.
func (choice) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeBoolean, Default: false}
}

func (c choice) read(name string) (bool, error) {
	if c == "" {
		return false, nil
	}
	yes, err := strconv.ParseBool(string(c))
	if err != nil {
		return false, sluice.Errorf(sluice.CodeInvalid, "%s is true or false", name)
	}
	return yes, nil
}

// streamItem is a stream of the list. Where it is, is for whoever may run it.
type streamItem struct {
	sluice.Stream
	Origin string   `json:"origin,omitempty" doc:"Id of the node that its publisher is on"`
	Edges  []string `json:"edges,omitempty" nullable:"false" doc:"Ids of nodes that relay it"`

	waiting int // viewers of nodes that neither have its publisher nor relay it
}

// streamList is one page of streams.
type streamList struct {
	Items      []streamItem `json:"items" nullable:"false"`
	NextCursor string       `json:"nextCursor" doc:"Empty on the last page"`
	Missing    []string     `json:"missing,omitempty" nullable:"false" doc:"Ids of nodes that carry streams and have not told all of them in time"`
}

func (a API) listStreams(ctx context.Context, in *streamsInput) (*body[streamList], error) {
	local, err := in.Local.read("local")
	if err != nil {
		return nil, err
	}
	held := []Held{{Streams: a.Streams.Streams()}}
	if a.Cluster != nil {
		held[0].Node = a.Cluster.cfg.NodeID
	}
	var missing []string
	if a.Neighbours != nil && !local {
		var others []Held
		others, missing = a.Neighbours.Streams(ctx)
		held = append(held, others...)
	}
	all, err := paged(merge(grantOf(ctx), held), func(s streamItem) string { return s.Name }, page{in.Limit, in.Cursor})
	if err != nil {
		return nil, err
	}
	return &body[streamList]{streamList{all.Body.Items, all.Body.NextCursor, missing}}, nil
}

// merge makes one item of each stream that grant may see, in no order.
func merge(grant sluice.Grant, held []Held) []streamItem {
	var items []streamItem
	at := map[string]int{}
	for _, h := range held {
		for _, s := range h.Streams {
			if !maySee(grant, s.Name) {
				continue
			}
			i, known := at[s.Name]
			if !known {
				i = len(items)
				at[s.Name] = i
				items = append(items, streamItem{})
			}
			items[i].add(s, h.Node, known, mayRun(grant, s.Name))
		}
	}
	for i := range items {
		slices.Sort(items[i].Edges)
		if rank(items[i].Stream) < relays {
			items[i].Viewers = 0
		}
		items[i].Viewers += items[i].waiting
	}
	return items
}

// add adds what a node says: that of the stream's origin counts, or of whoever is
// nearest to it. The viewers of the origin are those of the nodes that relay the
// stream too, and so are a relay's; those of a node that does neither come on top.
func (i *streamItem) add(s sluice.Stream, node string, known, places bool) {
	s = withoutNull(s)
	better := !known || cmp.Or(cmp.Compare(rank(s), rank(i.Stream)), s.Since.Compare(i.Since)) > 0
	if better {
		i.Stream = s
	}
	if rank(s) < relays {
		i.waiting += s.Viewers
	}
	switch {
	case !places || node == "":
	case s.Relayed:
		i.Edges = append(i.Edges, node)
	case better && rank(s) == publishes:
		i.Origin = node
	}
}

// What a node has to do with a stream, by how well it knows it.
const (
	waits     = iota // its viewers wait for a publisher
	paused           // it has had the publisher, who may come back
	relays           // it gets the stream from another node
	publishes        // it has the publisher
)

func rank(s sluice.Stream) int {
	switch {
	case s.Relayed:
		return relays
	case s.Publisher != nil:
		return publishes
	case s.State != sluice.StreamOffline:
		return paused
	}
	return waits
}
