package sluice

// ICE is one side's ICE parameters as an SDP fragment carries them (RFC 8840).
type ICE struct {
	Ufrag      string
	Pwd        string
	Candidates []string // values of a=candidate, without "a="; "candidate:..."
	Mid        string   // the media section that the candidates belong to
	Complete   bool     // end-of-candidates seen
}
