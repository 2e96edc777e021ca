// Package fmp4 writes and reads the MP4 boxes of a recording (ISO/IEC 14496-12,
// CMAF): init sections, fragments of one track, and the walk over a file that a
// crash may have torn. It holds values only; no input panics or grows without
// bound. It knows nothing of where files are.
package fmp4
