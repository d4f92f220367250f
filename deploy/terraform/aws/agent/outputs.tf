output "security_group_id" {
  description = "The agent's security group: what media servers let in."
  value       = aws_security_group.agent.id
}

output "role_name" {
  description = "The agent's role."
  value       = aws_iam_role.agent.name
}

output "user_data" {
  description = "What the host does at boot."
  value       = local.user_data
}
