package signaling

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
)

// APIPrefix begins every route of the control API.
const APIPrefix = "/api/v1"

// StreamsPath is the route of the list of streams.
const StreamsPath = APIPrefix + "/streams"

// Streams is what the control API shows. Both return snapshots.
type Streams interface {
	Streams() []sluice.Stream
	Viewers(stream string) []sluice.Viewer
}

// Authorizer turns a bearer token, "" when none was sent, into a grant. Its
// error is a sluice.Error with CodeUnauthenticated.
type Authorizer interface {
	Authorize(ctx context.Context, bearer string) (sluice.Grant, error)
}

// API is what the control API needs.
type API struct {
	Streams Streams
	Auth    Authorizer
	Version string    // of the server, for the OpenAPI document
	Cluster *Registry // nil: nothing is said of nodes

	// Neighbours are the other nodes. nil: the list of streams holds those of this
	// node.
	Neighbours Neighbours

	// Keys are the stream keys. nil: there are none.
	Keys Keys

	// Sign makes a token with a grant that lives so long. nil: none are made here.
	Sign func(grant sluice.Grant, ttl time.Duration) (string, error)

	// Recordings are what has been recorded. nil: nothing is said of them.
	Recordings Recordings

	// Last returns the newest recording of a stream that has ended. It may be nil.
	Last func(ctx context.Context, stream string) (sluice.Recording, bool)

	// Documents are OpenAPI documents whose paths and components are added to
	// this one: routes of the node that are not served here.
	Documents [][]byte

	// Avoid notes that a node cannot be reached from an address, and returns the
	// WHEP endpoint of another one that has room, "" for none. It may be nil.
	Avoid func(ctx context.Context, from netip.Addr, node sluice.Node, stream string) string

	// Refused counts a refused token and returns the error to answer with: cause,
	// or that the caller has been refused too often. It may be nil.
	Refused func(r *http.Request, cause error) error
}

// Routes adds the control API to engine, its OpenAPI document included. It fails
// only if that document cannot be made.
//
// A stream is shown to whoever may watch or publish it; its viewers to whoever
// may publish or moderate it; its recordings as the stream. Nodes, stream keys and
// tokens, and removing recordings, are for operators.
func (a API) Routes(engine *gin.Engine) error {
	config := huma.DefaultConfig("Sluice control API", a.Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", "" // our own below
	config.CreateHooks = nil                                             // no $schema in every body
	config.AllowAdditionalPropertiesByDefault = true                     // fields may be added later
	config.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	config.Info.Description = "Streams of all nodes; layers and viewers of those that one node has; recordings. Nodes, stream keys and tokens, and removing recordings, take a token that moderates all streams. Errors are problem details (RFC 9457)."
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "Not needed when the server's access is open."},
	}
	api := humagin.New(engine, config)
	api.UseMiddleware(a.authorize)

	register(api, listStreamsID, "/streams", "List streams of all nodes", a.listStreams)
	register(api, "get-stream", "/streams/{stream}", "One stream with its layers", a.getStream)
	register(api, "list-viewers", "/streams/{stream}/viewers", "List viewers of a stream", a.listViewers)
	register(api, "get-viewer", "/streams/{stream}/viewers/{id}", "One viewer of a stream", a.getViewer)

	if a.Cluster != nil {
		a.nodeRoutes(api)
		engine.OPTIONS(APIPrefix+reportPath, allowReports)
	}
	if a.Keys != nil {
		a.keyRoutes(api)
	}
	if a.Sign != nil {
		a.tokenRoutes(api)
	}
	if a.Recordings != nil {
		a.recordingRoutes(api)
	}

	schemas := api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel") // the library's own error form, which we do not use
	delete(schemas, "ErrorDetail")
	for _, name := range []string{"Stream", "StreamItem"} {
		schemas[name].Properties["layers"].Nullable = false // see withoutNull
	}
	document, err := json.Marshal(api.OpenAPI())
	if err == nil {
		document, err = joinDocuments(document, a.Documents)
	}
	if err != nil {
		return fmt.Errorf("openapi document: %w", err)
	}
	engine.GET(APIPrefix+"/openapi.json", func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache")
		c.Data(http.StatusOK, "application/json", document)
	})
	return nil
}

// register adds one GET.
func register[I, O any](api huma.API, id, path, summary string, handler func(context.Context, *I) (*O, error)) {
	registerAs(api, http.MethodGet, id, path, summary, handler)
}

// registerAs adds one operation. Parameters are checked by the handlers, not by the
// library, whose refusals have another form than ours.
func registerAs[I, O any](api huma.API, method, id, path, summary string, handler func(context.Context, *I) (*O, error), more ...func(*huma.Operation)) {
	op := huma.Operation{
		OperationID:        id,
		Method:             method,
		MaxBodyBytes:       4096,
		Path:               APIPrefix + path,
		Summary:            summary,
		Security:           []map[string][]string{{"bearer": {}}, {}},
		SkipValidateParams: true,
		SkipValidateBody:   true,
		Responses: map[string]*huma.Response{
			"default": {
				Description: "Problem details",
				Content: map[string]*huma.MediaType{problem.ContentType: {
					Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[problem.Problem](), true, "Problem"),
				}},
			},
		},
	}
	for _, change := range more {
		change(&op)
	}
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, refuse(ctx, err)
		}
		return out, nil
	})
}

// created is the answer 201 to a request whose body, which we read ourselves, is a T.
func created[T any](api huma.API) func(*huma.Operation) {
	return func(op *huma.Operation) {
		op.DefaultStatus = http.StatusCreated
		schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
		api.OpenAPI().OnAddOperation = append(api.OpenAPI().OnAddOperation, func(_ *huma.OpenAPI, added *huma.Operation) {
			if added.OperationID == op.OperationID {
				added.RequestBody.Content["application/json"].Schema = schema
			}
		})
	}
}

type (
	grantKey  struct{}
	remoteKey struct{}
)

func grantOf(ctx context.Context) sluice.Grant {
	g, _ := ctx.Value(grantKey{}).(sluice.Grant)
	return g
}

// authorize reads the grant once for the handler.
func (a API) authorize(ctx huma.Context, next func(huma.Context)) {
	c := humagin.Unwrap(ctx)
	c.Header("Cache-Control", "no-store")
	if ctx.Operation().OperationID == reportID {
		c.Header("Access-Control-Allow-Origin", "*")
	}
	grant, err := a.grant(ctx.Operation().OperationID, c.Request)
	if err != nil {
		problem.Write(c.Writer, c.Request, err)
		return
	}
	remote, err := netip.ParseAddr(c.ClientIP())
	if err != nil {
		remote = netip.Addr{} // a connection without an address, as in tests
	}
	next(huma.WithValue(huma.WithValue(ctx, grantKey{}, grant), remoteKey{}, remote))
}

// grant is what the caller of an operation may do. Another node may see all streams.
func (a API) grant(operation string, r *http.Request) (sluice.Grant, error) {
	refused := func(err error) error {
		if a.Refused == nil {
			return err
		}
		return a.Refused(r, err)
	}
	if a.Neighbours != nil && operation == listStreamsID {
		switch peer, err := a.Neighbours.Peer(r); {
		case err != nil:
			return sluice.Grant{}, refused(err)
		case peer:
			return sluice.Grant{Watch: true}, nil
		}
	}
	bearer, err := bearerOf(r.Header.Get("Authorization"))
	if err != nil {
		return sluice.Grant{}, err
	}
	if bearer == "" && operation != reportID && http.NewCrossOriginProtection().Check(r) != nil {
		return sluice.Grant{}, sluice.Errorf(sluice.CodeForbidden, "pages of other origins need a token for this")
	}
	grant, err := a.Auth.Authorize(r.Context(), bearer)
	if err != nil {
		return sluice.Grant{}, refused(err)
	}
	return grant, nil
}

// bearerOf returns the token of an Authorization header (RFC 6750), "" for none.
func bearerOf(header string) (string, error) {
	if header == "" {
		return "", nil
	}
	scheme, token, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", sluice.Errorf(sluice.CodeUnauthenticated, "the Authorization header is not of the Bearer scheme")
	}
	return strings.Trim(token, " "), nil
}
