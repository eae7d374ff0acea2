//go:build !linux

package mainline

import "net"

func growReceiveBuffer(conn *net.UDPConn) { _ = conn.SetReadBuffer(receiveBuffer) }
