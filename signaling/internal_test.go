package signaling

import (
	"testing"
	"time"
)

func FuzzDecodeNode(f *testing.F) {
	fields, err := encodeNode(Node{ID: "a", Region: "eu", URL: "https://a", CPUs: 2, Load: Load{1, 2}, Started: time.Unix(1, 0), Seen: time.Unix(2, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a", string(fields[1].([]byte)), "https://a")
	f.Add("", "", "")
	f.Add("a", "\n\x01a", "")
	f.Add("a b", "\n\x03a b\x22\x00", "")
	f.Fuzz(func(t *testing.T, id, record, url string) {
		n, err := decodeNode(id, map[string]string{"record": record, "url": url})
		if err != nil {
			return
		}
		if n.ID != id || checkNodeID(n.ID) != nil {
			t.Errorf("node %q has the id %q", id, n.ID)
		}
	})
}

func FuzzParseVerdict(f *testing.F) {
	f.Add("1", "a", "7", "")
	f.Add("0", "b", "18446744073709551616", "-1")
	f.Add("0", "b", "9", "3000")
	f.Fuzz(func(t *testing.T, mine, owner, gen, left string) {
		v, err := parseVerdict([]string{mine, owner, gen, left})
		if err == nil && (v.mine != (mine == "1") || v.owner != owner || v.left < 0) {
			t.Errorf("verdict %+v", v)
		}
	})
}

func FuzzBearer(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer  a b ")
	f.Add("Basic x")
	f.Fuzz(func(t *testing.T, header string) {
		token, err := bearerOf(header)
		if err == nil && len(token) > len(header) {
			t.Errorf("%q gives %q", header, token)
		}
	})
}
