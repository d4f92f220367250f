output "user_data" {
  description = "What the instances do at boot: a part of the launch template's user data (base64encode it), or all of it."
  value       = local.user_data
}

output "security_group_id" {
  description = "What the instances need to reach the share: one more of the launch template's security groups."
  value       = var.share.client_security_group_id
}
