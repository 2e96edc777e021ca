package placement

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/sluice-live/sluice"
)

func nodes(n int) []sluice.Node {
	all := make([]sluice.Node, n)
	for i := range all {
		all[i] = sluice.Node{ID: fmt.Sprintf("node-%d", i), Region: "eu", URL: "http://x", State: sluice.NodeServing, CPUs: 8}
	}
	return all
}

func homes(t *testing.T, all []sluice.Node, streams int) map[string]string {
	t.Helper()
	at := map[string]string{}
	for i := range streams {
		name := fmt.Sprintf("stream-%d", i)
		home, ok := Home(name, "eu", all)
		if !ok {
			t.Fatal("no home")
		}
		at[name] = home.ID
	}
	return at
}

func TestHomeIsSpreadAndStable(t *testing.T) {
	const streams, many = 20000, 10
	all := nodes(many)
	before := homes(t, all, streams)
	count := map[string]int{}
	for _, id := range before {
		count[id]++
	}
	for id, n := range count {
		if math.Abs(float64(n)-streams/many) > streams/many/5 {
			t.Errorf("%s has %d of %d", id, n, streams)
		}
	}
	after := homes(t, all[1:], streams)
	for name, id := range before {
		if id != "node-0" && after[name] != id {
			t.Fatalf("%s moved from %s to %s though its node stayed", name, id, after[name])
		}
	}
	reversed := nodes(many)
	for i := range reversed {
		reversed[i] = all[many-1-i]
	}
	for name, id := range homes(t, reversed, 100) {
		if before[name] != id {
			t.Fatal("the order of the nodes matters")
		}
	}
}

func TestHomeFollowsWeight(t *testing.T) {
	all := nodes(3)
	all[0].CPUs = 16
	all[2].Load.CPU = .5
	count := map[string]int{}
	for _, id := range homes(t, all, 14000) {
		count[id]++
	}
	for id, want := range map[string]int{"node-0": 8000, "node-1": 4000, "node-2": 2000} {
		if math.Abs(float64(count[id]-want)) > float64(want)/8 {
			t.Errorf("%s has %d, want about %d", id, count[id], want)
		}
	}
	before := homes(t, all, 2000)
	all[1].Load.CPU = .01 // a little load moves at most an eighth
	moved := 0
	for name, id := range homes(t, all, 2000) {
		if before[name] != id {
			moved++
		}
	}
	if moved > 150 {
		t.Errorf("%d of 2000 moved for one percent of load", moved)
	}
}

func TestHomePrefersItsRegion(t *testing.T) {
	all := nodes(4)
	all[0].Region = "us"
	for name, id := range homes(t, all, 500) {
		if id == "node-0" {
			t.Fatalf("%s is far away", name)
		}
	}
	for i := range all[1:] {
		all[i+1].State = sluice.NodeDraining
	}
	if home, ok := Home("demo", "eu", all); !ok || home.ID != "node-0" {
		t.Errorf("home %+v, %v", home, ok)
	}
	all[0].Step = sluice.StepRefuse
	if _, ok := Home("demo", "eu", all); ok {
		t.Error("a node that refuses is a home")
	}
	if _, ok := Home("demo", "eu", nil); ok {
		t.Error("a home without nodes")
	}
}

func TestWatch(t *testing.T) {
	node := func(id string, change ...func(*sluice.Node)) sluice.Node {
		n := sluice.Node{ID: id, Region: "eu", URL: "http://" + id, State: sluice.NodeServing, CPUs: 1}
		for _, f := range change {
			f(&n)
		}
		return n
	}
	used := func(share float64) func(*sluice.Node) { return func(n *sluice.Node) { n.Load.CPU = share } }
	step := func(s sluice.Step) func(*sluice.Node) { return func(n *sluice.Node) { n.Step = s } }
	far := func(n *sluice.Node) { n.Region = "us" }
	draining := func(n *sluice.Node) { n.State = sluice.NodeDraining }
	egress := func(n *sluice.Node) { n.Load.Mbps, n.Capacity.Mbps = 95, 100 }
	only := func(ids ...string) func(string) bool {
		return func(id string) bool {
			for _, one := range ids {
				if one == id {
					return true
				}
			}
			return false
		}
	}
	tests := []struct {
		name  string
		visit Visit
		want  Answer
		to    string
	}{
		{"room here", Visit{Here: node("a", used(.5)), Others: []sluice.Node{node("b")}}, Accept, "a"},
		{"full here", Visit{Here: node("a", used(.95)), Others: []sluice.Node{node("b")}}, Redirect, "b"},
		{"egress is full here", Visit{Here: node("a", egress), Others: []sluice.Node{node("b")}}, Redirect, "b"},
		{"full, and sent here", Visit{Here: node("a", used(.95)), Placed: true, Others: []sluice.Node{node("b")}}, Accept, "a"},
		{"all are nearly full", Visit{Here: node("a", used(.95)), Others: []sluice.Node{node("b", used(.97))}}, Accept, "a"},
		{"all are full", Visit{Here: node("a", used(1)), HLS: true, Others: []sluice.Node{node("b", used(1))}}, UseHLS, "a"},
		{"all are full, no HLS", Visit{Here: node("a", used(1.1))}, Refuse, "a"},
		{"near before far", Visit{Here: node("a", used(.95)), Others: []sluice.Node{node("b", far), node("c", used(.8))}}, Redirect, "c"},
		{"far before none", Visit{Here: node("a", used(.95)), Others: []sluice.Node{node("b", far), node("c", used(.9))}}, Redirect, "b"},
		{"who has the stream", Visit{Here: node("a", used(.95)), Has: only("c"), Others: []sluice.Node{node("b"), node("c", used(.5))}}, Redirect, "c"},
		{"who can be reached", Visit{Here: node("a", used(.95)), Away: only("b"), Has: only("b"), Others: []sluice.Node{node("b"), node("c", used(.5))}}, Redirect, "c"},
		{"draining", Visit{Here: node("a", draining), Others: []sluice.Node{node("b")}}, Redirect, "b"},
		{"all drain", Visit{Here: node("a", draining), HLS: true, Others: []sluice.Node{node("b", draining)}}, Refuse, "a"},
		{"draining, and sent here", Visit{Here: node("a", draining), Placed: true, Others: []sluice.Node{node("b")}}, Refuse, "a"},
		{"step hls", Visit{Here: node("a", step(sluice.StepHLS)), HLS: true, Others: []sluice.Node{node("b", step(sluice.StepHLS))}}, UseHLS, "a"},
		{"step hls, room elsewhere", Visit{Here: node("a", step(sluice.StepHLS)), HLS: true, Others: []sluice.Node{node("b")}}, Redirect, "b"},
		{"step hls, not recorded", Visit{Here: node("a", step(sluice.StepHLS))}, Refuse, "a"},
		{"step refuse", Visit{Here: node("a", step(sluice.StepRefuse)), HLS: true}, Refuse, "a"},
		{"not to itself", Visit{Here: node("a", used(1)), HLS: true, Others: []sluice.Node{node("a")}}, UseHLS, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.visit.Stream, tt.visit.Viewer, tt.visit.Region = "demo", "192.0.2.1", "eu"
			got, to := Watch(tt.visit)
			if got != tt.want || to.ID != tt.to {
				t.Errorf("answer %d to %s, want %d to %s", got, to.ID, tt.want, tt.to)
			}
		})
	}
}

func TestRenewed(t *testing.T) {
	now := time.Now()
	ago := func(seconds int) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }
	leaving := sluice.Node{Version: "1", Started: ago(1000)}
	for _, c := range []struct {
		name string
		node sluice.Node
		want bool
	}{
		{"restarted in the roll", sluice.Node{Version: "1", Started: ago(21)}, true},
		{"started before the roll", sluice.Node{Version: "1", Started: ago(61)}, false},
		{"old", sluice.Node{Version: "1", Started: ago(5000)}, false},
		{"a new version, started before the first node left", sluice.Node{Version: "2", Started: ago(200)}, true},
		{"another version that is older", sluice.Node{Version: "0", Started: ago(5000)}, false},
	} {
		if got := Renewed(c.node, leaving, ago(60)); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if Renewed(sluice.Node{Version: "1", Started: now}, leaving, now) {
		t.Error("the first node of a roll finds one that has been restarted")
	}
}

func TestWatchKeepsRolesAndAddresses(t *testing.T) {
	here := sluice.Node{ID: "here", Region: "eu", URL: "http://10.0.0.1", Public: "https://live.example", State: sluice.NodeDraining}
	ingest := sluice.Node{ID: "ingest", Region: "eu", URL: "http://10.0.0.2", State: sluice.NodeServing, Roles: []string{sluice.RoleIngest}}
	behind := sluice.Node{ID: "behind", Region: "eu", URL: "http://10.0.0.3", Public: "https://live.example/", State: sluice.NodeServing}
	own := sluice.Node{ID: "own", Region: "eu", URL: "http://10.0.0.4", Public: "https://own.example", State: sluice.NodeServing, Roles: []string{sluice.RoleDelivery}}
	v := Visit{Stream: "demo", Viewer: "1", Region: "eu", Here: here, Others: []sluice.Node{ingest, behind}}
	if answer, to := Watch(v); answer != Refuse {
		t.Errorf("answer %d, to %s: neither a node that takes no viewers nor one behind the same balancer can be asked for", answer, to.ID)
	}
	v.Others = append(v.Others, own)
	if answer, to := Watch(v); answer != Redirect || to.Address() != "https://own.example" {
		t.Errorf("answer %d, to %s", answer, to.Address())
	}
	ingest.Roles = append(ingest.Roles, sluice.RoleRecording)
	v = Visit{Stream: "demo", Viewer: "1", Region: "eu", Here: ingest, Others: []sluice.Node{own}}
	if answer, to := Watch(v); answer != Redirect || to.ID != "own" {
		t.Errorf("a node that takes no viewers answers %d, %s", answer, to.ID)
	}
}
