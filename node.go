package sluice

import (
	"slices"
	"strings"
	"time"
)

// NodeState says whether a node takes new sessions.
type NodeState string

const (
	NodeServing  NodeState = "serving"
	NodeDraining NodeState = "draining" // takes none, and moves its own elsewhere
)

// Node is a node as all of them see it.
type Node struct {
	ID       string    `json:"id"`
	Region   string    `json:"region"`
	URL      string    `json:"url"`                 // of its HTTP, for nodes
	Public   string    `json:"publicUrl,omitempty"` // the same for clients, where it differs
	Media    string    `json:"media"`               // address of its media port
	Roles    []string  `json:"roles" nullable:"false"`
	Version  string    `json:"version"`
	State    NodeState `json:"state"`
	Step     Step      `json:"overload"`
	CPUs     int       `json:"cpus"`
	Load     NodeLoad  `json:"load"`
	Capacity Capacity  `json:"capacity"`
	Started  time.Time `json:"started"`       // by its own clock
	Uptime   float64   `json:"uptimeSeconds"` // by its monotonic clock
	Age      float64   `json:"ageSeconds"`    // of this record, by the clock of Redis
}

// NodeLoad is what a node carries, as it measures itself.
type NodeLoad struct {
	CPU        float64 `json:"cpu"`  // share of its processors that it uses, 0 to 1
	Mbps       float64 `json:"mbps"` // that it sends to viewers
	Streams    int     `json:"streams"`
	Publishers int     `json:"publishers"`
	Viewers    int     `json:"viewers"`
	Relays     int     `json:"relays"` // streams that it pulls from other nodes
}

// Capacity is what a node accepts. 0: no limit.
type Capacity struct {
	Viewers int     `json:"viewers"`
	Mbps    float64 `json:"mbps"` // to viewers
}

// Used is the share of the node that is in use, by the scarcest of what it has. It
// may exceed 1.
func (n Node) Used() float64 {
	used := n.Load.CPU
	if n.Capacity.Viewers > 0 {
		used = max(used, float64(n.Load.Viewers)/float64(n.Capacity.Viewers))
	}
	if n.Capacity.Mbps > 0 {
		used = max(used, n.Load.Mbps/n.Capacity.Mbps)
	}
	return used
}

// What a node may do for the cluster.
const (
	RoleIngest    = "ingest"    // takes publishers
	RoleDelivery  = "delivery"  // takes viewers
	RoleRecording = "recording" // records what is published there
)

// Roles lists all of them.
func Roles() []string { return []string{RoleIngest, RoleDelivery, RoleRecording} }

// Has reports whether the node has a role. One that names none has all.
func (n Node) Has(role string) bool { return len(n.Roles) == 0 || slices.Contains(n.Roles, role) }

// Address is where clients reach the node. Nodes behind one balancer share it: none
// of them can be asked for.
func (n Node) Address() string {
	if n.Public != "" {
		return strings.TrimSuffix(n.Public, "/")
	}
	return strings.TrimSuffix(n.URL, "/")
}

// Serves reports whether the node takes new sessions.
func (n Node) Serves() bool { return n.State == NodeServing && n.Step < StepRefuse && n.URL != "" }

// Step is how far a node goes to carry what it has: each step includes those
// before it.
type Step int

const (
	StepNone   Step = iota
	StepCapLow      // viewers of streams of the lowest tier do not get the best layer
	StepCapAll      // nor do those of other streams
	StepRungs       // no renditions are made that the publisher does not send
	StepHLS         // new viewers are pointed at LL-HLS
	StepRefuse      // there are no new sessions
)

// Steps names all steps in their order.
func Steps() []string { return []string{"none", "cap-low", "cap-all", "rungs", "hls", "refuse"} }

// String is the step's name.
func (s Step) String() string {
	if s < 0 || int(s) >= len(Steps()) {
		return Steps()[StepNone]
	}
	return Steps()[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s Step) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. What is not known, as of a
// later version, is StepNone.
func (s *Step) UnmarshalText(text []byte) error {
	*s = StepNone
	for i, name := range Steps() {
		if name == string(text) {
			*s = Step(i)
		}
	}
	return nil
}
