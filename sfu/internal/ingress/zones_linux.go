package ingress

import (
	"net"
	"strconv"
	"time"
)

// zoneAge is how long an interface's name is believed.
const zoneAge = time.Minute

// zones names interfaces, which link-local addresses are relative to.
type zones struct {
	names   map[uint32]string
	expires time.Time
}

// name returns the name of the interface, or its number if it has none.
func (z *zones) name(index uint32) string {
	now := time.Now()
	if now.After(z.expires) {
		z.names, z.expires = map[uint32]string{}, now.Add(zoneAge)
	}
	name, ok := z.names[index]
	if !ok {
		name = strconv.FormatUint(uint64(index), 10)
		if i, err := net.InterfaceByIndex(int(index)); err == nil {
			name = i.Name
		}
		z.names[index] = name
	}
	return name
}
