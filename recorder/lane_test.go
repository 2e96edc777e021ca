package recorder

import (
	"testing"

	"github.com/sluice-live/sluice"
)

// TestLayerNamesAreNoPaths: a layer's name becomes part of file names.
func TestLayerNamesAreNoPaths(t *testing.T) {
	for _, rid := range []string{"/../../other/vf", "..", `h"x`, "a b"} {
		if (&lane{}).begin(&sluice.Track{Video: true, RID: rid, Codec: "H264"}) {
			t.Errorf("layer %q is recorded", rid)
		}
	}
}
