package chat

import (
	"slices"
	"strings"
)

// ring is the newest messages in the order of their ids.
type ring struct {
	all []*message
}

// add puts a message into its place; it reports false for one that is there, or
// that is older than all when there are most.
func (g *ring) add(m *message) bool {
	i, found := g.find(m.ID)
	if found || i == 0 && len(g.all) >= memory {
		return false
	}
	g.all = slices.Insert(g.all, i, m)
	if len(g.all) > memory {
		g.all = slices.Clone(g.all[1:])
	}
	return true
}

func (g *ring) find(id string) (int, bool) {
	return slices.BinarySearchFunc(g.all, id, func(m *message, id string) int { return strings.Compare(m.ID, id) })
}

// get returns a message, nil when it is not in memory.
func (g *ring) get(id string) *message {
	if i, found := g.find(id); found {
		return g.all[i]
	}
	return nil
}

// remove takes a message out.
func (g *ring) remove(id string) {
	if i, found := g.find(id); found {
		g.all = slices.Delete(g.all, i, i+1)
	}
}

// last returns up to n newest messages, oldest first.
func (g *ring) last(n int) []*message { return g.all[max(0, len(g.all)-n):] }

// before returns up to n messages before an id, oldest first. It reports false
// when memory does not reach back far enough to say.
func (g *ring) before(id string, n int) ([]*message, bool) {
	i := len(g.all)
	if id != "" {
		i, _ = g.find(id)
	}
	return g.all[max(0, i-n):i], i >= n
}

// window remembers the newest keys and what belongs to them.
type window struct {
	most  int
	known map[string]string
	order []string
}

func newWindow(most int) window { return window{most: most, known: map[string]string{}} }

// set adds a key or changes what belongs to it.
func (w *window) set(key, value string) {
	_, known := w.known[key]
	w.known[key] = value
	if known {
		return
	}
	w.order = append(w.order, key)
	if len(w.order) > w.most {
		delete(w.known, w.order[0])
		w.order = slices.Delete(w.order, 0, 1)
	}
}

func (w *window) get(key string) (string, bool) {
	v, ok := w.known[key]
	return v, ok
}
