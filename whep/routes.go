package whep

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice/internal/wish"
)

// Routes adds the WHEP routes to r. The engine's trusted proxies decide what
// the client's address is.
func (h *Handler) Routes(r gin.IRouter) {
	session := func(serve func(w http.ResponseWriter, r *http.Request, stream, secret string)) gin.HandlerFunc {
		return func(c *gin.Context) {
			serve(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"), c.Param("session"))
		}
	}
	r.Any(Base+"/:stream", func(c *gin.Context) {
		h.Stream(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"))
	})
	r.Any(Base+"/:stream/:session", session(h.Session))
	r.Any(Base+"/:stream/:session/layer", session(h.Layer))
	r.Any(Base+"/:stream/:session/sse", session(h.Events))
	r.Any(Base+"/:stream/:session/sse/:events", func(c *gin.Context) {
		h.EventStream(c.Writer, wish.WithRemote(c.Request, c.ClientIP()),
			c.Param("stream"), c.Param("session"), c.Param("events"))
	})
}
