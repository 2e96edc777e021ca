package sfu

import (
	"fmt"
	"sync"
	"time"

	"github.com/pion/transport/v4/stdnet"
)

// interfacesAge is how long the list of network interfaces is believed. To read
// it costs as much as the rest of a small SDP answer.
const interfacesAge = 5 * time.Second

// interfaces hands out the node's network with a list of interfaces that
// sessions share.
type interfaces struct {
	mu      sync.Mutex
	current *network
	read    time.Time
}

// network is a stdnet.Net whose list Pion does not read anew: it does that only
// for a stdnet.Net itself.
type network struct{ *stdnet.Net }

func (i *interfaces) get() (*network, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.current == nil || time.Since(i.read) > interfacesAge {
		n, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("list network interfaces: %w", err)
		}
		i.current, i.read = &network{n}, time.Now()
	}
	return i.current, nil
}
