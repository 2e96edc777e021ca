package client

import (
	"errors"
	"fmt"

	"github.com/pion/webrtc/v4"
)

// openChat asks for a chat channel in the session.
func (v *Viewer) openChat() error {
	channel, err := v.pc.CreateDataChannel("chat", nil)
	if err != nil {
		return fmt.Errorf("adding the chat: %w", err)
	}
	channel.OnMessage(func(m webrtc.DataChannelMessage) { v.cfg.OnChat(m.Data) })
	v.chat = channel
	return nil
}

// Chat sends a frame to the chat of the stream. It fails until the first frame
// has come from there, and in sessions without OnChat.
func (v *Viewer) Chat(frame []byte) error {
	if v.chat == nil {
		return errors.New("the session has no chat")
	}
	return v.chat.SendText(string(frame))
}
