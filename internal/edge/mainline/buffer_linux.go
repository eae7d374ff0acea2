package mainline

import (
	"net"
	"syscall"
)

// growReceiveBuffer asks for more than net.core.rmem_max, which is granted to root and to CAP_NET_ADMIN, and takes what there
// is otherwise.
func growReceiveBuffer(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, receiveBuffer)
		})
	}
	if err != nil {
		_ = conn.SetReadBuffer(receiveBuffer)
	}
}
