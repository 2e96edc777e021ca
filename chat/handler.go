package chat

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/sluice-live/sluice"
	"github.com/sluice-live/sluice/internal/problem"
	"github.com/sluice-live/sluice/internal/wish"
)

const (
	// Protocol is the subprotocol that a client should ask for. Beside it, it
	// may send its token, as "bearer.<token>" or as it is, and a guest's key, as
	// "guest.<key>".
	Protocol = "sluice.chat"
	// firstFrame is how long a client that needs a token may take to send it.
	firstFrame = 10 * time.Second
)

// Handler serves the chat over HTTP.
type Handler struct {
	hub     *Hub
	auth    wish.Authorizer
	limiter *wish.Limiter
	admin   Admin
}

// NewHandler makes a Handler. It needs no closing beside the hub's.
func NewHandler(hub *Hub, auth wish.Authorizer, limiter *wish.Limiter, admin Admin) *Handler {
	return &Handler{hub: hub, auth: auth, limiter: limiter, admin: admin}
}

// Stream serves the WebSocket of one stream's chat.
func (h *Handler) Stream(w http.ResponseWriter, r *http.Request, stream string) {
	wish.CORS(w.Header(), http.MethodGet, http.MethodOptions)
	who, asked, err := h.admit(r, stream)
	if err != nil {
		problem.Write(w, r, err)
		return
	}
	// A page of any origin may connect, as to all routes: no cookie is ever read.
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: asked, InsecureSkipVerify: true})
	if err != nil {
		return // it has been answered
	}
	conn := newSocket(ws, h.hub.config.FrameBytes)
	defer func() { <-conn.done }()
	defer conn.Close("left the chat")
	if who.Grant == (sluice.Grant{}) {
		if who.Grant, err = h.wait(conn, who.Again); err != nil {
			_ = conn.Send(refusal{code: codeForbidden, message: "a token is needed"}.frame("")) // it is over anyway
			return
		}
	}
	_ = h.hub.Serve(conn, who) // the member was told
}

// admit reads who wants to come in. A grant without rights says that the token
// is still to come.
func (h *Handler) admit(r *http.Request, stream string) (who Who, protocols []string, err error) {
	if err := sluice.CheckStreamName(stream); err != nil {
		return who, nil, err
	}
	if err := h.limiter.Allow(wish.Remote(r)); err != nil {
		return who, nil, err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return who, nil, sluice.Errorf(sluice.CodeInvalid, "the chat is a WebSocket")
	}
	token, key, protocols := offered(r)
	if token == "" {
		token, _ = wish.Bearer(r)
	}
	ctx, remote := context.WithoutCancel(r.Context()), wish.Remote(r)
	who = Who{Stream: stream, Remote: remote, Key: key}
	who.Again = func(token string) (sluice.Grant, error) {
		g, err := h.auth.Authorize(ctx, token)
		if err != nil {
			return g, h.limiter.Refuse(remote, err)
		}
		if !mayRead(Who{Stream: stream, Grant: g}) {
			return g, sluice.Errorf(sluice.CodeForbidden, "the token does not allow the chat of the stream %q", stream)
		}
		return g, nil
	}
	grant, err := h.auth.Authorize(ctx, token)
	switch {
	case err == nil:
		who.Grant = grant
	case token == "":
		return who, protocols, nil
	default:
		return who, nil, h.limiter.Refuse(remote, err)
	}
	if !mayRead(who) {
		return who, nil, sluice.Errorf(sluice.CodeForbidden, "the token does not allow the chat of the stream %q", stream)
	}
	return who, protocols, nil
}

// offered takes the token and the guest's key out of the subprotocols that a
// client offers, and lists those that may be chosen, the best first.
func offered(r *http.Request) (token, key string, protocols []string) {
	var others []string
	next := false // the one after "bearer" is the token
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			p = strings.TrimSpace(p)
			bearer, isBearer := strings.CutPrefix(p, "bearer.")
			guest, isGuest := strings.CutPrefix(p, "guest.")
			switch {
			case p == "":
			case next:
				token, next = p, false
			case p == "bearer":
				next = true
				others = append(others, p)
			case isBearer:
				token = bearer
				others = append(others, p)
			case isGuest:
				key = guest
				others = append(others, p)
			case p == Protocol:
				protocols = append(protocols, p)
			case strings.Count(p, ".") == 2 && token == "": // a JWT as it is
				token = p
				others = append(others, p)
			default:
				others = append([]string{p}, others...)
			}
		}
	}
	return token, key, append(protocols, others...)
}

// GuestKey returns the key of a guest in the subprotocol of a data channel, which
// may hold several words.
func GuestKey(protocol string) string {
	for word := range strings.FieldsSeq(protocol) {
		if key, ok := strings.CutPrefix(word, "guest."); ok {
			return key
		}
	}
	return ""
}

// wait reads the token from the first frame.
func (h *Handler) wait(conn *socket, authorize func(string) (sluice.Grant, error)) (sluice.Grant, error) {
	timeout := time.AfterFunc(firstFrame, func() { conn.Close("a token is needed") })
	defer timeout.Stop()
	frame, err := conn.Receive()
	if err != nil {
		return sluice.Grant{}, err
	}
	q, fault := parseRequest(frame)
	if fault != nil || q.Token == "" {
		return sluice.Grant{}, sluice.Errorf(sluice.CodeUnauthenticated, "a token is needed")
	}
	return authorize(q.Token)
}
