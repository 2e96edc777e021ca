// Package clips holds encoded media that a publisher can send: the embedded
// test pattern and files that a user names.
//
// It owns reading Annex B H.264, IVF, Ogg Opus and MP4 and cutting them into
// frames with times. It knows nothing of RTP, HTTP or Pion. It starts no
// goroutine. A Clip from Open holds its file open until Close; one from
// Synthetic needs no Close.
package clips
