package arch_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/arch"
)

// TestImports reads every package of the module and its dependencies.
func TestImports(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=ImportPath,Imports,TestImports,XTestImports", arch.Module+"/...")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.String())
	}
	packages := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath != arch.Module && !strings.HasPrefix(p.ImportPath, arch.Module+"/") {
			continue
		}
		packages++
		for _, to := range p.Imports {
			if err := arch.Check(p.ImportPath, to, false); err != nil {
				t.Error(err)
			}
		}
		for _, to := range append(p.TestImports, p.XTestImports...) {
			if err := arch.Check(p.ImportPath, to, true); err != nil {
				t.Errorf("in a test: %v", err)
			}
		}
	}
	if packages < 2 {
		t.Fatalf("go list named %d packages of this module", packages)
	}
}

func TestCheck(t *testing.T) {
	const m = arch.Module
	tests := []struct {
		name     string
		from, to string
		test     bool
		why      string // part of the reason; "": allowed
	}{
		{"down to the root", m + "/whip", m, false, ""},
		{"down to a leaf", m + "/whip", m + "/internal/wish", false, ""},
		{"own subpackage", m + "/sfu", m + "/sfu/internal/ring", false, ""},
		{"node knows all", m + "/internal/node", m + "/whep", false, ""},
		{"program over node", m + "/cmd/sluice", m + "/internal/node", false, ""},
		{"sibling", m + "/whip", m + "/sfu", false, "sibling"},
		{"sibling in a test", m + "/whip", m + "/sfu", true, "sibling"},
		{"up from the root", m, m + "/internal/obs", false, "down only"},
		{"up from a leaf", m + "/internal/auth", m + "/signaling", false, "down only"},
		{"up to node", m + "/sfu", m + "/internal/node", false, "down only"},
		{"leaf to shared leaf", m + "/internal/wish", m + "/internal/problem", false, ""},
		{"leaf to leaf", m + "/internal/auth", m + "/internal/wish", false, "own floor"},
		{"load against a node, in a test", m + "/internal/load", m + "/internal/node", true, ""},
		{"load knows no node", m + "/internal/load", m + "/internal/node", false, "own floor"},
		{"load below PeerConnection", m + "/internal/load", "github.com/pion/webrtc/v4", false, "belongs to sfu"},
		{"root and the standard library", m, "encoding/json", false, ""},
		{"root and a library", m, "github.com/pion/rtp", false, "standard library"},
		{"owner", m + "/sfu", "github.com/pion/webrtc/v4", false, ""},
		{"below an owner", m + "/sfu/internal/rewrite", "github.com/pion/rtp", false, ""},
		{"not the owner", m + "/whip", "github.com/pion/webrtc/v4", false, "belongs to sfu"},
		{"nobody is the owner", m + "/sfu", "github.com/pion/turn/v5", false, "belongs to"},
		{"not the owner, in a test", m + "/whip", "github.com/pion/webrtc/v4", true, ""},
		{"similar name", m + "/whip", "github.com/pion/rtpx", false, ""},
		{"gin outside routes", m + "/web", "github.com/gin-gonic/gin", false, "belongs to internal/node"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := arch.Check(tt.from, tt.to, tt.test)
			switch {
			case tt.why == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.why != "" && err == nil:
				t.Error("allowed")
			case tt.why != "" && !strings.Contains(err.Error(), tt.why):
				t.Errorf("got %q, want it to say %q", err, tt.why)
			}
		})
	}
}
