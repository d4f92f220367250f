output "principal_id" {
  description = "The agent's identity."
  value       = azurerm_user_assigned_identity.agent.principal_id
}

output "user_data" {
  description = "What the machine does at boot."
  value       = local.user_data
}
