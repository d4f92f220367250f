output "address" {
  description = "What agents have as `upstream`, unless a name of yours leads there. Tokens of media servers name it by --host."
  value       = "https://${aws_lb.media.dns_name}:${var.port}/"
}

output "host" {
  description = "The load balancer's name."
  value       = aws_lb.media.dns_name
}
