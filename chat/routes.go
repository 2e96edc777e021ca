package chat

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice/internal/wish"
)

// Base is the route of the WebSocket.
const Base = "/chat"

// Routes adds the chat's routes to r. The engine's trusted proxies decide what
// the client's address is.
func (h *Handler) Routes(r gin.IRouter) {
	r.GET(Base+"/:stream", func(c *gin.Context) {
		h.Stream(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"))
	})
	for _, method := range []string{http.MethodGet, http.MethodPatch} {
		r.Handle(method, "/api/v1/streams/:stream/chat", func(c *gin.Context) {
			h.Room(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"))
		})
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.Handle(method, "/vod/:recording/chat.json", func(c *gin.Context) {
			h.Replay(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("recording"))
		})
	}
}
