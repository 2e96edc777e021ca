package signaling

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
)

// maxDrain is the most time that draining may be given.
const maxDrain = 24 * time.Hour

// maxEdges is how many nodes that relay a stream are shown.
const maxEdges = 1000

type nodeInput struct {
	ID string `path:"id" doc:"Id of the node"`
}

type drainInput struct {
	ID      string `path:"id" doc:"Id of the node"`
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

// drainBody is the body of a request to drain, which may be empty.
type drainBody struct {
	Timeout float64 `json:"timeoutSeconds"` // 0: as the node is configured
}

type undrainInput struct {
	ID   string `path:"id" doc:"Id of the node"`
	Type string `header:"Content-Type" hidden:"true"`
}

type unreachableInput struct {
	Type    string `header:"Content-Type" hidden:"true"`
	RawBody []byte `contentType:"application/json"`
}

// unreachable is the body of such a report.
type unreachable struct {
	URL    string `json:"url"` // any URL of the node, such as that of a session
	Stream string `json:"stream"`
}

// alternative is where to go instead.
type alternative struct {
	URL string `json:"url" doc:"WHEP endpoint of another node; empty when there is none with room"`
}

// ordered is what becomes of an order.
type ordered struct {
	Node  string           `json:"node"`
	State sluice.NodeState `json:"state" doc:"The state that the node takes with its next heartbeat"`
}

// places is where a stream is.
type places struct {
	Origin string `json:"origin" doc:"Id of the node that its publisher is on"`
	Lease  uint64 `json:"lease" doc:"Generation of that node's lease"`
	Edges  []Edge `json:"edges" nullable:"false" doc:"Nodes that have the stream"`
}

func (a API) nodeRoutes(api huma.API) {
	register(api, "list-nodes", "/nodes", "List nodes of the cluster", a.listNodes)
	register(api, "get-node", "/nodes/{id}", "One node", a.getNode)
	register(api, "get-stream-nodes", "/streams/{stream}/nodes", "Where a stream is: its origin, and nodes that relay it", a.getPlaces)
	registerAs(api, http.MethodPost, "drain-node", "/nodes/{id}/drain", "Make a node give up what it has", a.drainNode)
	registerAs(api, http.MethodPost, "undrain-node", "/nodes/{id}/undrain", "Make a node take new sessions again", a.undrainNode)
	registerAs(api, http.MethodPost, reportID, reportPath, "Say that a node cannot be reached, and ask for another", a.reportUnreachable)
}

// Reports of players come from pages that the lost node has served, so from
// another origin.
const (
	reportID   = "report-unreachable"
	reportPath = "/nodes/unreachable"
)

// allowReports answers the question of browsers whether they may send one.
func allowReports(c *gin.Context) {
	c.Header("Access-Control-Allow-Origin", "*")
	c.Header("Access-Control-Allow-Methods", http.MethodPost)
	c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type")
	c.Header("Access-Control-Max-Age", "86400")
	c.Status(http.StatusNoContent)
}

func mayOperate(ctx context.Context) error {
	if !grantOf(ctx).MayOperate() {
		return sluice.Errorf(sluice.CodeForbidden, "this needs a token that moderates all streams")
	}
	return nil
}

// checkJSON refuses a body of another type, such as browsers send for a form of any
// page.
func checkJSON(contentType string) error {
	kind, _, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return sluice.Errorf(sluice.CodeUnsupportedMediaType, "the body is application/json")
	}
	return nil
}

// readJSON reads a body by ourselves, see register.
func readJSON(contentType string, raw []byte, into any) error {
	if err := checkJSON(contentType); err != nil {
		return err
	}
	if json.Unmarshal(raw, into) != nil {
		return sluice.Errorf(sluice.CodeInvalid, "the body is not the JSON that is expected here")
	}
	return nil
}

func (a API) listNodes(ctx context.Context, in *page) (*body[list[sluice.Node]], error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	nodes, err := a.Cluster.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	return paged(nodes, func(n sluice.Node) string { return n.ID }, *in)
}

func (a API) getNode(ctx context.Context, in *nodeInput) (*body[sluice.Node], error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	node, err := a.Cluster.FindNode(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &body[sluice.Node]{node}, nil
}

func (a API) getPlaces(ctx context.Context, in *streamInput) (*body[places], error) {
	if err := sluice.CheckStreamName(in.Stream); err != nil {
		return nil, err
	}
	if !mayRun(grantOf(ctx), in.Stream) {
		return nil, sluice.Errorf(sluice.CodeForbidden, "the token is not for this")
	}
	owner, err := a.Cluster.Lookup(ctx, in.Stream)
	if err != nil {
		return nil, err
	}
	edges, err := a.Cluster.Edges(ctx, in.Stream, maxEdges)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(edges, func(a, b Edge) int { return strings.Compare(a.Node, b.Node) })
	return &body[places]{places{Origin: owner.Node, Lease: owner.Generation, Edges: edges}}, nil
}

func (a API) drainNode(ctx context.Context, in *drainInput) (*body[ordered], error) {
	var asked drainBody
	if len(in.RawBody) > 0 {
		if err := readJSON(in.Type, in.RawBody, &asked); err != nil {
			return nil, err
		}
	}
	over := time.Duration(asked.Timeout * float64(time.Second))
	if asked.Timeout < 0 || asked.Timeout > maxDrain.Seconds() {
		return nil, sluice.Errorf(sluice.CodeInvalid, "timeoutSeconds is within 0 and %.0f", maxDrain.Seconds())
	}
	return a.order(ctx, in.ID, in.Type, Order{Drain: true, Over: over})
}

func (a API) undrainNode(ctx context.Context, in *undrainInput) (*body[ordered], error) {
	return a.order(ctx, in.ID, in.Type, Order{})
}

func (a API) order(ctx context.Context, id, contentType string, o Order) (*body[ordered], error) {
	if err := mayOperate(ctx); err != nil {
		return nil, err
	}
	if err := checkJSON(contentType); err != nil {
		return nil, err
	}
	node, err := a.Cluster.FindNode(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := a.Cluster.Give(ctx, node.ID, o); err != nil {
		return nil, err
	}
	a.Cluster.Beat() // when it is for this node
	state := sluice.NodeServing
	if o.Drain {
		state = sluice.NodeDraining
	}
	return &body[ordered]{ordered{Node: node.ID, State: state}}, nil
}

func (a API) reportUnreachable(ctx context.Context, in *unreachableInput) (*body[alternative], error) {
	var said unreachable
	if err := readJSON(in.Type, in.RawBody, &said); err != nil {
		return nil, err
	}
	if err := sluice.CheckStreamName(said.Stream); err != nil {
		return nil, err
	}
	if !maySee(grantOf(ctx), said.Stream) {
		return nil, sluice.Errorf(sluice.CodeForbidden, "the token is not for this")
	}
	if a.Avoid == nil {
		return &body[alternative]{}, nil
	}
	nodes, err := a.Cluster.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if at := n.Address(); at != "" && (said.URL == at || strings.HasPrefix(said.URL, at+"/")) {
			remote, _ := ctx.Value(remoteKey{}).(netip.Addr)
			return &body[alternative]{alternative{a.Avoid(ctx, remote, n, said.Stream)}}, nil
		}
	}
	return nil, sluice.Errorf(sluice.CodeNotFound, "no node has this URL")
}
