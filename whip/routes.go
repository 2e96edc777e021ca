package whip

import (
	"github.com/gin-gonic/gin"

	"github.com/sluice-live/sluice/internal/wish"
)

// Routes adds the WHIP routes to r. The engine's trusted proxies decide what
// the client's address is.
func (h *Handler) Routes(r gin.IRouter) {
	r.Any(Base, func(c *gin.Context) {
		h.Unnamed(c.Writer, wish.WithRemote(c.Request, c.ClientIP()))
	})
	r.Any(Base+"/:stream", func(c *gin.Context) {
		h.Stream(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"))
	})
	r.Any(Base+"/:stream/:session", func(c *gin.Context) {
		h.Session(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"), c.Param("session"))
	})
	r.Any(Base+"/:stream/:session/sse", func(c *gin.Context) {
		h.Events(c.Writer, wish.WithRemote(c.Request, c.ClientIP()), c.Param("stream"), c.Param("session"))
	})
}
