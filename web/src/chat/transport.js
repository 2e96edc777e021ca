// The two ways to a chat room. A transport is an object with send(text),
// close(), and the callbacks onopen(), onframe(object) and onclose().

const PROTOCOL = 'sluice.chat';

/** The subprotocol of a data channel, for RTCPeerConnection.createDataChannel. */
export function channelProtocol(key) {
  return key ? `${PROTOCOL} guest.${key}` : PROTOCOL;
}

/** A transport over a data channel of a WHIP or WHEP session. */
export function channelTransport(channel) {
  const transport = {kind: 'channel', send: (text) => channel.send(text), close: () => channel.close()};
  channel.addEventListener('open', () => transport.onopen?.());
  channel.addEventListener('message', (ev) => read(transport, ev.data));
  channel.addEventListener('close', () => transport.onclose?.());
  transport.isOpen = () => channel.readyState === 'open';
  return transport;
}

/** A transport over a WebSocket. */
export function socketTransport(stream, {token, key}) {
  const url = new URL(`/chat/${stream}`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const protocols = [PROTOCOL];
  if (token) protocols.push(`bearer.${token}`);
  else if (key) protocols.push(`guest.${key}`);
  const ws = new WebSocket(url, protocols);
  const transport = {kind: 'socket', send: (text) => ws.send(text), close: () => ws.close()};
  ws.addEventListener('open', () => transport.onopen?.());
  ws.addEventListener('message', (ev) => read(transport, ev.data));
  ws.addEventListener('close', () => transport.onclose?.());
  transport.isOpen = () => ws.readyState === WebSocket.OPEN;
  return transport;
}

/** Frames are objects, or arrays of objects. */
function read(transport, data) {
  let frames;
  try {
    frames = [JSON.parse(data)].flat();
  } catch {
    return; // not ours
  }
  for (const frame of frames) if (frame && typeof frame.type === 'string') transport.onframe?.(frame);
}
